"""Fast stand-ins for functions of `xpnet.functional`, on NumPy arrays without stack axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from xpnet.functional import max_pooling as plain_max_pooling
from xpnet.functional import max_pooling_backward as plain_max_pooling_backward
from xpnet.functional import relu_backward as plain_relu_backward
from xpnet.functional.pooling import check_pooled, check_pooling
from xpnet.functional.windows import Pair, Windows, taps
from xpnet_backends.numpy_convolution import convolution, convolution_backward, put
from xpnet_backends.numpy_recording import recordable
from xpnet_backends.numpy_threads import share
from xpnet_backends.numpy_updates import RULES

__all__ = ["KERNELS"]

BLOCK = 2**17
"""Numbers in as many rows or images as are computed at a time: half a MiB of float32."""

_INTEGERS = {np.dtype("f2"): np.int16, np.dtype("f4"): np.int32, np.dtype("f8"): np.int64}


def relu(x: Any, *, out: Any = None) -> Any:
    """Stand in for `xpnet.functional.relu`."""
    y = np.empty_like(x) if out is None else out
    if x.ndim < 2:
        return np.maximum(x, 0, out=y)

    def work(first: int, last: int) -> None:
        np.maximum(x[first:last], 0, out=y[first:last])

    share(work, x.shape[0], _at_a_time(x))
    return y


def relu_backward(dout: Any, x: Any, *, out: Any = None) -> Any:
    """Stand in for `xpnet.functional.relu_backward`."""
    if dout.shape != x.shape or dout.dtype != x.dtype or x.dtype not in _INTEGERS or x.ndim < 2:
        return put(plain_relu_backward(dout, x), out)
    dx = np.empty_like(x) if out is None else out

    def work(first: int, last: int) -> None:
        _masked(dout[first:last], ~(x[first:last] <= 0), out=dx[first:last])

    share(work, x.shape[0], _at_a_time(x))
    return dx


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

    share(work, x.shape[0], _at_a_time(x))
    return y


def max_pooling_backward(
    dout: Any, x: Any, pool_h: int, pool_w: int, *, stride: Pair = 2, pad: Pair = 0, y: Any = None,
    out: Any = None,
) -> Any:
    """Stand in for `xpnet.functional.max_pooling_backward`."""
    if x.ndim != 4 or x.dtype not in _INTEGERS:
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
            _masked(own, here > found, out=part)
            found |= here
            if apart:
                place[...] = part
            else:
                place += part
        if any(windows.pad):
            dx[first:last] = gradient[..., ph:ph + H, pw:pw + W]

    share(work, x.shape[0], _at_a_time(x))
    return dx


def _at_a_time(x: Any) -> int:
    return max(1, BLOCK * x.shape[0] // max(1, x.size))


def _masked(x: Any, keep: Any, out: Any) -> None:
    """Write `x` where `keep`, else 0, by their bits.

    `where` guesses for each element which way it goes, and waits when it was wrong: ten times the time.
    """
    integer = _INTEGERS[x.dtype]
    bits = np.negative(keep.view(np.int8), out=keep.view(np.int8))  # all of them or none
    np.bitwise_and(x.view(integer), bits, out=out.view(integer))


def _padded(x: Any, windows: Windows, value: float) -> Any:
    (H, W), (ph, pw) = windows.image, windows.pad
    if not any(windows.pad):
        return x
    padded = np.full((*x.shape[:2], *windows.padded), value, x.dtype)
    padded[..., ph:ph + H, pw:pw + W] = x
    return padded


KERNELS: Mapping[str, Callable[..., Any]] = {
    kernel.__name__: recordable(kernel)
    for kernel in (
        convolution, convolution_backward, max_pooling, max_pooling_backward, relu, relu_backward,
    )
} | RULES
