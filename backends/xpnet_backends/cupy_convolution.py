"""Stand-ins for convolution and pooling on CuPy, which has no cuDNN since version 14."""

from __future__ import annotations

import math
from typing import Any

from xpnet.functional import convolution as plain_convolution
from xpnet.functional import convolution_backward as plain_convolution_backward
from xpnet.functional.convolution import check_convolution
from xpnet.functional.pooling import check_pooled, check_pooling
from xpnet.functional.windows import Pair
from xpnet_backends.cupy_cublaslt import DTYPES
from xpnet_backends.cupy_products import product
from xpnet_backends.cupy_windows import columns, fold, largest, where_largest, windows_gradient

__all__ = ["convolution", "convolution_backward", "max_pooling", "max_pooling_backward"]


def convolution(x: Any, W: Any, b: Any, *, stride: Pair = 1, pad: Pair = 0) -> Any:
    """Stand in for `xpnet.functional.convolution`."""
    windows = check_convolution("convolution", x, W, b, stride, pad)
    if x.dtype not in DTYPES or 0 in W.shape:
        return plain_convolution(x, W, b, stride=stride, pad=pad)
    out = product(W.reshape(W.shape[0], -1), columns(x, windows))
    out += b[:, None]
    return out.reshape(x.shape[0], W.shape[0], *windows.output)


def convolution_backward(
    dout: Any, x: Any, W: Any, b: Any, *, stride: Pair = 1, pad: Pair = 0, with_dx: bool = True
) -> tuple[Any, Any, Any]:
    """Stand in for `xpnet.functional.convolution_backward`."""
    windows = check_convolution("convolution_backward", x, W, b, stride, pad, dout)
    if x.dtype not in DTYPES or 0 in W.shape:
        return plain_convolution_backward(dout, x, W, b, stride=stride, pad=pad, with_dx=with_dx)
    filters = W.reshape(W.shape[0], -1)
    rows = dout.reshape(*dout.shape[:2], math.prod(windows.output))
    dW = product(rows, columns(x, windows).swapaxes(1, 2)).sum(axis=0).reshape(W.shape)
    db = dout.sum(axis=(0, 2, 3))
    return fold(product(filters.T, rows), x, windows) if with_dx else None, dW, db


def max_pooling(x: Any, pool_h: int, pool_w: int, *, stride: Pair = 2, pad: Pair = 0) -> Any:
    """Stand in for `xpnet.functional.max_pooling`."""
    return largest(x, check_pooling("max_pooling", x, pool_h, pool_w, stride, pad))


def max_pooling_backward(
    dout: Any, x: Any, pool_h: int, pool_w: int, *, stride: Pair = 2, pad: Pair = 0, y: Any = None
) -> Any:
    """Stand in for `xpnet.functional.max_pooling_backward`."""
    where = "max_pooling_backward"
    windows = check_pooling(where, x, pool_h, pool_w, stride, pad)
    check_pooled(where, dout, x, windows.output)
    if y is None:
        y = largest(x, windows)
    return windows_gradient(dout, where_largest(x, y, windows), x, windows)
