"""Stand-ins for `xpnet.functional.max_pooling` and its backward, on NumPy arrays without stack axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnet.functional import max_pooling as plain_max_pooling
from xpnet.functional import max_pooling_backward as plain_max_pooling_backward
from xpnet.functional.pooling import check_pooled, check_pooling
from xpnet.functional.windows import Pair, Windows, taps
from xpnet_backends.numpy_convolution import put
from xpnet_backends.numpy_masks import INTEGERS, at_a_time, masked
from xpnet_backends.numpy_recording import recordable
from xpnet_backends.numpy_threads import share

__all__ = ["max_pooling", "max_pooling_backward"]


@recordable
def max_pooling(
    x: Any, pool_h: int, pool_w: int, *, stride: Pair = 2, pad: Pair = 0, out: Any = None
) -> Any:
    """Stand in for `xpnet.functional.max_pooling`."""
    if x.ndim != 4:
        return put(plain_max_pooling(x, pool_h, pool_w, stride=stride, pad=pad), out)
    windows = check_pooling("max_pooling", x, pool_h, pool_w, stride, pad)
    y = np.empty((*x.shape[:2], *windows.output), x.dtype) if out is None else out

    def work(first: int, last: int) -> None:
        largest = y[first:last]
        tap, *others = taps(_padded(x[first:last], windows, -np.inf), windows)
        largest[...] = tap
        for tap in others:
            # To copy short rows with gaps takes half as long as to compute with them.
            np.maximum(largest, np.ascontiguousarray(tap), out=largest)

    share(work, x.shape[0], at_a_time(x))
    return y


@recordable
def max_pooling_backward(
    dout: Any, x: Any, pool_h: int, pool_w: int, *, stride: Pair = 2, pad: Pair = 0, y: Any = None,
    out: Any = None,
) -> Any:
    """Stand in for `xpnet.functional.max_pooling_backward`."""
    if x.ndim != 4 or x.dtype not in INTEGERS:
        return put(plain_max_pooling_backward(dout, x, pool_h, pool_w, stride=stride, pad=pad, y=y), out)
    where = "max_pooling_backward"
    windows = check_pooling(where, x, pool_h, pool_w, stride, pad)
    check_pooled(where, dout, x, windows.output)
    if y is None:
        y = max_pooling(x, pool_h, pool_w, stride=stride, pad=pad)
    (H, W), (ph, pw) = windows.image, windows.pad
    apart = all(step >= size for step, size in zip(windows.stride, windows.size, strict=True))
    dx = np.empty(x.shape, x.dtype) if out is None else out

    def work(first: int, last: int) -> None:
        images, own = _padded(x[first:last], windows, np.nan), dout[first:last]
        gradient = np.empty_like(images) if any(windows.pad) else dx[first:last]
        gradient[...] = 0
        found = np.zeros(own.shape, bool)
        part = np.empty_like(own)
        for tap, place in zip(taps(images, windows), taps(gradient, windows), strict=True):
            here = np.ascontiguousarray(tap) == y[first:last]
            masked(own, here > found, out=part)
            found |= here
            if apart:
                place[...] = part
            else:
                place += part
        if any(windows.pad):
            dx[first:last] = gradient[..., ph:ph + H, pw:pw + W]

    share(work, x.shape[0], at_a_time(x))
    return dx


def _padded(x: Any, windows: Windows, value: float) -> Any:
    (H, W), (ph, pw) = windows.image, windows.pad
    if not any(windows.pad):
        return x
    padded = np.full((*x.shape[:2], *windows.padded), value, x.dtype)
    padded[..., ph:ph + H, pw:pw + W] = x
    return padded
