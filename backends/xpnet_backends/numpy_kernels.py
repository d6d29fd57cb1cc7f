"""Fast stand-ins for functions of `xpnet.functional`, on NumPy arrays without stack axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from xpnet_backends.numpy_affine import affine, affine_backward
from xpnet_backends.numpy_convolution import convolution, convolution_backward
from xpnet_backends.numpy_cross_entropy import (
    softmax_cross_entropy,
    softmax_cross_entropy_backward,
)
from xpnet_backends.numpy_pooling import max_pooling, max_pooling_backward
from xpnet_backends.numpy_relu import relu, relu_backward
from xpnet_backends.numpy_updates import RULES

__all__ = ["KERNELS"]

KERNELS: Mapping[str, Callable[..., Any]] = RULES | {
    kernel.__name__: kernel
    for kernel in (
        affine, affine_backward, convolution, convolution_backward, max_pooling,
        max_pooling_backward, relu, relu_backward, softmax_cross_entropy,
        softmax_cross_entropy_backward,
    )
}
