"""Pooling of images: the largest or the mean of each window (the book's chapter 7.3 and 7.4.4)."""

from __future__ import annotations

import functools
import math

from xpnet.functional._array import Array, array_namespace, check_floating, sum_dtype
from xpnet.functional.windows import Pair, Windows, fold, int_pair, pad_image, taps, windows_on

__all__ = [
    "average_pooling",
    "average_pooling_backward",
    "check_global",
    "check_pool",
    "check_pooled",
    "check_pooling",
    "global_average_pooling",
    "global_average_pooling_backward",
    "max_pooling",
    "max_pooling_backward",
]


def check_pool(
    where: str, pool_h: int, pool_w: int, stride: Pair, pad: Pair
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Refuse windows that no image can have; give size, stride and pad in pairs."""
    size = int_pair(where, "the window", (pool_h, pool_w), 1)
    stride, pad = int_pair(where, "stride", stride, 1), int_pair(where, "pad", pad, 0)
    if any(2 * p > n for p, n in zip(pad, size, strict=True)):
        raise ValueError(f"{where} wants pad of at most half its window of {size[0]}x{size[1]}, so that "
                         f"none lies in the padding alone; got {pad}")
    return size, stride, pad


def check_pooling(
    where: str, x: Array, pool_h: int, pool_w: int, stride: Pair, pad: Pair
) -> Windows:
    """Refuse what cannot be pooled, and tell how the windows lie on the images."""
    check_floating(where, x)
    if x.ndim < 3:
        raise ValueError(f"{where} wants x of shape (…, C, H, W); got {tuple(x.shape)}")
    return windows_on(where, x, *check_pool(where, pool_h, pool_w, stride, pad))


def check_pooled(where: str, dout: Array, x: Array, output: tuple[int, ...]) -> None:
    """Refuse a gradient that is not that of outputs `(…, C, *output)` of images `(…, C, H, W)`.

    Only axes of length 1 before `(N, C, H, W)`, a stack's, may be longer in `dout`: one gradient for
    each of the networks behind.
    """
    array_namespace(dout, x)
    if dout.dtype != x.dtype:
        raise TypeError(f"{where} wants dout of dtype {x.dtype}; got {dout.dtype}")
    wanted, got = (*x.shape[:-2], *output), tuple(dout.shape)
    own = min(2, x.ndim - 2) + len(output)  # axes behind the stack's
    stack = len(wanted) - own
    if len(got) != len(wanted) or got[stack:] != wanted[stack:] or any(
        n not in (m, 1) for n, m in zip(wanted[:stack], got[:stack], strict=True)
    ):
        raise ValueError(f"{where} wants dout of shape {wanted}; got {got}")


def check_global(where: str, x: Array) -> None:
    """Refuse what has no mean over images."""
    check_floating(where, x)
    if x.ndim < 3 or 0 in x.shape[-2:]:
        raise ValueError(f"{where} wants x of shape (…, C, H, W), H and W from 1; "
                         f"got {tuple(x.shape)}")


def max_pooling(
    x: Array, pool_h: int, pool_w: int, *, stride: Pair = 2, pad: Pair = 0
) -> Array:
    """Take the largest element of each window; NaN stays NaN.

    Parameters
    ----------
    x : array
        Images, `(…, C, H, W)`, of a real floating dtype.
    pool_h, pool_w : int
        Height and width of a window.
    stride, pad : int or pair of int
        Steps from one window to the next, by default the book's 2, and rows and columns of -inf on
        each side of the images, at most half a window; as a pair, (vertical, horizontal).

    Returns
    -------
    array
        `(…, C, OH, OW)`, where `OH = 1 + (H + 2 pad - pool_h) // stride`, and OW likewise.

    Raises
    ------
    ValueError
        If windows are larger than the padded images, or `pad` than half a window.
    """
    windows = check_pooling("max_pooling", x, pool_h, pool_w, stride, pad)
    xp = array_namespace(x)
    largest = functools.reduce(xp.maximum, taps(pad_image(x, windows, -float("inf")), windows))
    return largest if pool_h * pool_w > 1 else xp.asarray(largest, copy=True)


def max_pooling_backward(
    dout: Array, x: Array, pool_h: int, pool_w: int, *, stride: Pair = 2, pad: Pair = 0,
    y: Array | None = None,
) -> Array:
    """Let the gradient through to the largest element of each window.

    Of several that are equally large, to the first in the order of the rows, as in the book and
    PyTorch; never to the padding, even where all is -inf. A window with NaN lets nothing through
    (PyTorch: to the last NaN).

    Parameters
    ----------
    dout : array
        Gradient of the loss with respect to the output, `(…, C, OH, OW)`; a stack axis of length 1
        in `x` may be longer here.
    x, pool_h, pool_w, stride, pad
        What `max_pooling` was given.
    y : array, optional
        What `max_pooling` returned, to save computing it again.

    Returns
    -------
    array
        `dx`, `(…, C, H, W)`: of the shape of `x`, or one for each network.
    """
    windows = check_pooling("max_pooling_backward", x, pool_h, pool_w, stride, pad)
    xp = array_namespace(dout, x)
    if y is None:
        y = max_pooling(x, pool_h, pool_w, stride=stride, pad=pad)
    check_pooled("max_pooling_backward", dout, x, windows.output)
    parts = []
    found = None
    for tap in taps(pad_image(x, windows, float("nan")), windows):  # which equals nothing
        largest = tap == y
        first = largest if found is None else largest & ~found
        parts.append(xp.where(first, dout, 0))
        found = largest if found is None else largest | found
    return fold(parts, windows)


def average_pooling(
    x: Array, pool_h: int, pool_w: int, *, stride: Pair = 2, pad: Pair = 0
) -> Array:
    """Take the mean of each window.

    Parameters
    ----------
    x : array
        Images, `(…, C, H, W)`, of a real floating dtype.
    pool_h, pool_w : int
        Height and width of a window.
    stride, pad : int or pair of int
        Steps from one window to the next, and rows and columns of zeros, which count, on each side
        of the images, at most half a window; as a pair, (vertical, horizontal).

    Returns
    -------
    array
        `(…, C, OH, OW)`, as from `max_pooling`.

    Raises
    ------
    ValueError
        If windows are larger than the padded images, or `pad` than half a window.
    """
    windows = check_pooling("average_pooling", x, pool_h, pool_w, stride, pad)
    xp = array_namespace(x)
    parts = taps(pad_image(xp.astype(x, sum_dtype(x), copy=False), windows), windows)
    mean = functools.reduce(lambda a, b: a + b, parts) / len(parts)
    return xp.astype(mean, x.dtype, copy=False)


def average_pooling_backward(
    dout: Array, x: Array, pool_h: int, pool_w: int, *, stride: Pair = 2, pad: Pair = 0
) -> Array:
    """Share the gradient among the elements of each window.

    Parameters
    ----------
    dout : array
        Gradient of the loss with respect to the output, `(…, C, OH, OW)`; a stack axis of length 1
        in `x` may be longer here.
    x, pool_h, pool_w, stride, pad
        What `average_pooling` was given. Of `x`, only shape and dtype matter.

    Returns
    -------
    array
        `dx`, `(…, C, H, W)`: of the shape of `x`, or one for each network.
    """
    windows = check_pooling("average_pooling_backward", x, pool_h, pool_w, stride, pad)
    check_pooled("average_pooling_backward", dout, x, windows.output)
    size = math.prod(windows.size)
    return fold([dout / size] * size, windows)


def global_average_pooling(x: Array) -> Array:
    """Take the mean of each channel (Lin, Chen and Yan, "Network in network", 2014).

    Parameters
    ----------
    x : array
        Images, `(…, C, H, W)`, of a real floating dtype.

    Returns
    -------
    array
        `(…, C)`.
    """
    check_global("global_average_pooling", x)
    xp = array_namespace(x)
    total = xp.sum(x, axis=(-2, -1), dtype=sum_dtype(x))
    return xp.astype(total / (x.shape[-2] * x.shape[-1]), x.dtype, copy=False)


def global_average_pooling_backward(dout: Array, x: Array) -> Array:
    """Share the gradient among the elements of each channel.

    Parameters
    ----------
    dout : array
        Gradient of the loss with respect to the output, `(…, C)`; a stack axis of length 1 in `x`
        may be longer here.
    x : array
        What `global_average_pooling` was given. Only its shape and dtype matter.

    Returns
    -------
    array
        `dx`, `(…, C, H, W)`: of the shape of `x`, or one for each network.
    """
    where = "global_average_pooling_backward"
    check_global(where, x)
    xp = array_namespace(dout, x)
    check_pooled(where, dout, x, ())
    H, W = x.shape[-2:]
    return xp.zeros_like(x) + dout[..., None, None] / (H * W)
