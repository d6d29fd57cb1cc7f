"""Fast stand-ins for functions of `xpnet.functional` on CuPy, which has no cuDNN since version 14.

A kernel of CUDA costs a few microseconds to start, so there are few: all windows are copied by one, and
multiplied by another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cupy

from xpnet.functional.convolution import check_convolution
from xpnet.functional.pooling import check_pooled, check_pooling
from xpnet.functional.windows import Pair, Windows, taps

__all__ = ["KERNELS"]


def convolution(x: Any, W: Any, b: Any, *, stride: Pair = 1, pad: Pair = 0) -> Any:
    """Stand in for `xpnet.functional.convolution`."""
    windows = check_convolution("convolution", x, W, b, stride, pad)
    out = cupy.matmul(W.reshape(W.shape[0], -1), _columns(x, windows))
    out += b[:, None]
    return out.reshape(x.shape[0], W.shape[0], *windows.output)


def convolution_backward(
    dout: Any, x: Any, W: Any, b: Any, *, stride: Pair = 1, pad: Pair = 0, with_dx: bool = True
) -> tuple[Any, Any, Any]:
    """Stand in for `xpnet.functional.convolution_backward`."""
    windows = check_convolution("convolution_backward", x, W, b, stride, pad, dout)
    FN, C, FH, FW = W.shape
    OH, OW = windows.output
    rows = dout.reshape(dout.shape[0], FN, OH * OW)
    dW = cupy.matmul(rows, _columns(x, windows).swapaxes(1, 2)).sum(axis=0).reshape(W.shape)
    db = dout.sum(axis=(0, 2, 3))
    if not with_dx:
        return None, dW, db
    dcol = cupy.matmul(W.reshape(FN, -1).T, rows).reshape(-1, C, FH, FW, OH, OW)
    padded = cupy.zeros((*x.shape[:2], *windows.padded), x.dtype)
    for k, place in enumerate(taps(padded, windows)):
        place += dcol[:, :, k // FW, k % FW]
    return _inner(padded, windows).copy(), dW, db


def max_pooling(x: Any, pool_h: int, pool_w: int, *, stride: Pair = 2, pad: Pair = 0) -> Any:
    """Stand in for `xpnet.functional.max_pooling`."""
    windows = check_pooling("max_pooling", x, pool_h, pool_w, stride, pad)
    return _windows(_padded(x, windows, -cupy.inf), windows).max(axis=(2, 3))


def max_pooling_backward(
    dout: Any, x: Any, pool_h: int, pool_w: int, *, stride: Pair = 2, pad: Pair = 0, y: Any = None
) -> Any:
    """Stand in for `xpnet.functional.max_pooling_backward`."""
    where = "max_pooling_backward"
    windows = check_pooling(where, x, pool_h, pool_w, stride, pad)
    check_pooled(where, dout, x, windows.output)
    if y is None:
        y = max_pooling(x, pool_h, pool_w, stride=stride, pad=pad)
    padded = _padded(x, windows, cupy.nan)  # which equals nothing
    gradient = cupy.zeros_like(padded)
    found = cupy.zeros(y.shape, bool)
    for tap, place in zip(taps(padded, windows), taps(gradient, windows), strict=True):
        here = tap == y
        place += cupy.where(here & ~found, dout, 0)
        found |= here
    return _inner(gradient, windows).copy()


def _padded(x: Any, windows: Windows, value: float = 0) -> Any:
    padded = cupy.full((*x.shape[:2], *windows.padded), value, x.dtype)
    _inner(padded, windows)[...] = x
    return padded


def _inner(padded: Any, windows: Windows) -> Any:
    (H, W), (ph, pw) = windows.image, windows.pad
    return padded[..., ph:ph + H, pw:pw + W]


def _windows(padded: Any, windows: Windows) -> Any:
    """Give a view of windows, `(N, C, FH, FW, OH, OW)`."""
    sh, sw = windows.stride
    of_image, of_channel, down, right = padded.strides
    return cupy.lib.stride_tricks.as_strided(
        padded, (*padded.shape[:2], *windows.size, *windows.output),
        (of_image, of_channel, down, right, down * sh, right * sw),
    )


def _columns(x: Any, windows: Windows) -> Any:
    (FH, FW), (OH, OW) = windows.size, windows.output
    view = _windows(_padded(x, windows), windows)
    return cupy.ascontiguousarray(view).reshape(x.shape[0], x.shape[1] * FH * FW, OH * OW)


KERNELS: Mapping[str, Callable[..., Any]] = {
    kernel.__name__: kernel
    for kernel in (convolution, convolution_backward, max_pooling, max_pooling_backward)
}
