"""Fast stand-ins for functions of `xpnet.functional`, on CuPy arrays.

A kernel of CUDA takes a few microseconds to start, whatever it computes: so there are few of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from xpnet_backends.cupy_affine import (
    affine,
    affine_backward,
    affine_chain,
    affine_chain_backward,
    relu_backward,
    stacked_affine,
    stacked_affine_backward,
)
from xpnet_backends.cupy_convolution import (
    convolution,
    convolution_backward,
    max_pooling,
    max_pooling_backward,
)
from xpnet_backends.cupy_cross_entropy import softmax_cross_entropy, softmax_cross_entropy_backward
from xpnet_backends.cupy_dropout import dropout_mask
from xpnet_backends.cupy_updates import RULES

__all__ = ["KERNELS"]

KERNELS: Mapping[str, Callable[..., Any]] = RULES | {
    kernel.__name__: kernel
    for kernel in (
        affine, affine_backward, affine_chain, affine_chain_backward, convolution, convolution_backward,
        dropout_mask, max_pooling, max_pooling_backward, relu_backward, softmax_cross_entropy,
        softmax_cross_entropy_backward, stacked_affine, stacked_affine_backward,
    )
}
