"""Stand-ins for `xpnet.functional.softmax_cross_entropy` and its backward, for plain class numbers."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from xpnet.functional import softmax_cross_entropy as plain
from xpnet.functional import softmax_cross_entropy_backward as plain_backward
from xpnet_backends.numpy_loops import compiled_loops
from xpnet_backends.numpy_recording import in_place

__all__ = ["softmax_cross_entropy", "softmax_cross_entropy_backward"]

loops = compiled_loops("numpy_numba")

_DTYPES = (np.dtype("f4"), np.dtype("f8"))


def softmax_cross_entropy(x: Any, t: Any, *, return_y: bool = False, **options: Any) -> Any:
    """Stand in for `xpnet.functional.softmax_cross_entropy`."""
    if not _is_usual(x, t, options):
        return plain(x, t, return_y=return_y, **options)  # type: ignore[call-overload]
    if loops is not None and x.flags.carray and t.flags.carray:
        y, losses = np.empty_like(x), np.empty_like(x[:1, 0])
        loops.cross_entropy(x, t, y, losses)
        loss = losses[0]
    else:
        columns = x.T.copy()  # NumPy adds up rows of ten numbers one by one, columns many at once
        columns -= np.max(columns, axis=0)
        e = np.exp(columns)
        total = np.sum(e, axis=0)
        N, C = x.shape
        labels, outside = t.astype(np.intp), np.empty_like(total)
        _look_up(_outside(C, x.dtype), labels + 1, outside)
        of_labels = np.take(columns.reshape(-1), labels * N + np.arange(N), mode="clip")
        loss, y = np.sum(np.log(total) - of_labels + outside) / N, np.empty_like(x)
        np.divide(e, total, out=y.T)
    return (loss, y) if return_y else loss


def softmax_cross_entropy_backward(
    dout: Any, x: Any, t: Any, *, y: Any = None, **options: Any
) -> Any:
    """Stand in for `xpnet.functional.softmax_cross_entropy_backward`."""
    if y is None or not isinstance(dout, int | float) or not _is_usual(x, t, options):
        return plain_backward(dout, x, t, y=y, **options)
    scale = dout / x.shape[0]
    if loops is not None and y.flags.carray and t.flags.carray:
        dx = np.empty_like(y)
        loops.cross_entropy_backward(y, t, np.asarray(scale, y.dtype), dx)
        return dx
    dx = np.empty_like(y)
    _look_up(_one_hot(x.shape[1], x.dtype), t.astype(np.intp) + 1, dx)
    np.subtract(y, dx, out=dx)
    dx *= scale
    return dx


def _is_usual(x: Any, t: Any, options: Any) -> bool:
    """Tell whether these are rows of scores, of 32 or 64 bits, with class numbers, and nothing else."""
    return bool(x.ndim == 2 and t.shape == x.shape[:1] and x.dtype in _DTYPES and t.dtype.kind in "iu"
                and 0 not in x.shape and not options.get("label_smoothing")
                and options.get("class_weights") is None and options.get("sample_weight") is None)


@in_place
def _look_up(table: Any, numbers: Any, found: Any) -> None:
    np.take(table, numbers, axis=0, out=found, mode="clip")


@functools.lru_cache(maxsize=8)
def _outside(C: int, dtype: Any) -> Any:
    """Give what is added to a row's loss, from label -1 to C: NaN to those that lie outside."""
    return np.pad(np.zeros(C, dtype), 1, constant_values=np.nan)


@functools.lru_cache(maxsize=8)
def _one_hot(C: int, dtype: Any) -> Any:
    """Give the rows of the labels from -1 to C."""
    return np.pad(np.eye(C, dtype=dtype), ((1, 1), (0, 0)), constant_values=np.nan)
