"""PyTorch's own functions, without its autograd, in the place of some of `xpnet.functional`.

Its `max_pool2d` takes, on a processor, seven times as long as `max_pooling`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from xpnet.functional import batch_normalization as plain_batch_normalization
from xpnet.functional import batch_normalization_backward as plain_batch_normalization_backward
from xpnet.functional.convolution import check_convolution
from xpnet.functional.pooling import check_pooled, check_pooling
from xpnet.functional.windows import Pair
from xpnet_backends.torch_affine import affine, affine_backward, relu, relu_backward
from xpnet_backends.torch_cross_entropy import softmax_cross_entropy, softmax_cross_entropy_backward
from xpnet_backends.torch_updates import RULES

__all__ = ["KERNELS"]


def convolution(x: Any, W: Any, b: Any, *, stride: Pair = 1, pad: Pair = 0) -> Any:
    """Stand in for `xpnet.functional.convolution`."""
    windows = check_convolution("convolution", x, W, b, stride, pad)
    return torch.conv2d(x, _channels_last(W), b, windows.stride, windows.pad)


def convolution_backward(
    dout: Any, x: Any, W: Any, b: Any, *, stride: Pair = 1, pad: Pair = 0, with_dx: bool = True
) -> tuple[Any, Any, Any]:
    """Stand in for `xpnet.functional.convolution_backward`."""
    windows = check_convolution("convolution_backward", x, W, b, stride, pad, dout)
    dx, dW, db = torch.ops.aten.convolution_backward.default(
        dout, x, _channels_last(W), list(b.shape), windows.stride, windows.pad, dilation=(1, 1), transposed=False,
        output_padding=(0, 0), groups=1, output_mask=(with_dx, True, True),
    )
    return dx, dW, db


def _channels_last(W: Any) -> Any:
    """Lay the channels of a pixel side by side: PyTorch then does so with the output, and is faster."""
    return torch.empty_like(W, memory_format=torch.channels_last).copy_(W)


def max_pooling_backward(
    dout: Any, x: Any, pool_h: int, pool_w: int, *, stride: Pair = 2, pad: Pair = 0, y: Any = None
) -> Any:
    """Stand in for `xpnet.functional.max_pooling_backward`."""
    where = "max_pooling_backward"
    windows = check_pooling(where, x, pool_h, pool_w, stride, pad)
    check_pooled(where, dout, x, windows.output)
    lie = (windows.size, windows.stride, windows.pad, (1, 1), False)
    _, indices = torch.ops.aten.max_pool2d_with_indices.default(x, *lie)
    return torch.ops.aten.max_pool2d_with_indices_backward.default(dout, x, *lie, indices)


def batch_normalization(
    x: Any, gamma: Any, beta: Any, *, axis: int = -1, eps: float = 1e-5
) -> tuple[Any, Any, Any]:
    """Stand in for `xpnet.functional.batch_normalization`."""
    if not _is_plain_batch(axis, x, gamma, beta):
        return plain_batch_normalization(x, gamma, beta, axis=axis, eps=eps)
    # Running statistics that forget all but the last batch are those of this batch.
    mean, unbiased = torch.zeros_like(gamma), torch.zeros_like(gamma)
    y, _, _ = torch.native_batch_norm(x, gamma, beta, mean, unbiased, True, 1.0, eps)
    n = x.numel() // x.shape[1]
    return y, mean, unbiased * ((n - 1) / n)


def batch_normalization_backward(
    dout: Any, x: Any, gamma: Any, beta: Any, *, axis: int = -1, eps: float = 1e-5,
    mean: Any = None, var: Any = None,
) -> tuple[Any, Any, Any]:
    """Stand in for `xpnet.functional.batch_normalization_backward`."""
    if (mean is None or var is None or dout.shape != x.shape or dout.dtype != x.dtype
            or x.dtype == torch.float16  # in which the variance may be infinite
            or not _is_plain_batch(axis, x, gamma, beta)):
        return plain_batch_normalization_backward(
            dout, x, gamma, beta, axis=axis, eps=eps, mean=mean, var=var)
    # It reads past what has gaps in memory (PyTorch 2.13).
    gamma, mean, inverse = (a.contiguous() for a in (gamma, mean, torch.rsqrt(var + eps)))
    dx, dgamma, dbeta = torch.ops.aten.native_batch_norm_backward.default(
        dout, x, gamma, None, None, mean, inverse, True, eps, (True, True, True))
    return dx, dgamma, dbeta


def _is_plain_batch(axis: int, x: Any, *channels: Any) -> bool:
    """Tell whether these are rows `(N, C)` or images `(N, C, H, W)`, with more than one element each."""
    return (axis == 1 - x.ndim and x.ndim in (2, 4) and x.numel() > x.shape[1] > 0
            and all(a.shape == x.shape[1:2] and a.dtype == x.dtype for a in channels))


KERNELS: Mapping[str, Callable[..., Any]] = RULES | {
    kernel.__name__: kernel
    for kernel in (
        affine, affine_backward, batch_normalization, batch_normalization_backward, convolution,
        convolution_backward, max_pooling_backward, relu, relu_backward, softmax_cross_entropy,
        softmax_cross_entropy_backward,
    )
}
