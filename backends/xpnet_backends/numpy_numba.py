"""Loops that Numba compiles: one pass over memory where NumPy makes several.

They are compiled for a dtype when they are first called, which takes seconds, and kept on disk for the
processes to come. All write into arrays they are given, of float32 or float64, whose rows follow one another
in memory; "flat" ones have one axis, and numbers are arrays without any, whose values may change.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from xpnet_backends.numpy_recording import in_place

__all__ = ["add_bias", "cross_entropy", "cross_entropy_backward", "relu", "relu_backward"]


def loop(function: Any) -> Any:
    """Compile a loop, and let it be recorded."""
    return in_place(njit(function, cache=True, nogil=True, error_model="numpy"))


@loop
def add_bias(y: Any, b: Any) -> None:
    """Add `b` to each row of `y`."""
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            y[i, j] += b[j]


@loop
def relu(x: Any, y: Any) -> None:
    """Write `max(x, 0)` of a flat array."""
    zero = x.dtype.type(0)
    for k in range(x.size):
        value = x[k]
        y[k] = zero if value <= zero else value  # noqa: FURB136  NaN stays NaN


@loop
def relu_backward(dout: Any, x: Any, dx: Any) -> None:
    """Write `dout` where `x` is not at most 0, else 0; all are flat."""
    zero = x.dtype.type(0)
    for k in range(x.size):
        value = dout[k]  # read in any case: else it would be a branch
        dx[k] = zero if x[k] <= zero else value


@loop
def cross_entropy(x: Any, t: Any, y: Any, loss: Any) -> None:
    """Write `softmax(x)`, and to `loss[0]` the mean cross-entropy."""
    N, C = x.shape
    sum_of_rows = x.dtype.type(0)
    for i in range(N):
        largest = x[i, 0]
        for j in range(1, C):
            if not x[i, j] <= largest:
                largest = x[i, j]
        total = x.dtype.type(0)
        for j in range(C):
            y[i, j] = np.exp(x[i, j] - largest)
            total += y[i, j]
        for j in range(C):
            y[i, j] /= total
        label = t[i]
        sum_of_rows += np.log(total) - (x[i, label] - largest) if 0 <= label < C else np.nan
    loss[0] = sum_of_rows / N


@loop
def cross_entropy_backward(y: Any, t: Any, scale: Any, dx: Any) -> None:
    """Write `(y - t) * scale`, `t` as one-hot rows."""
    factor = scale[()]
    for i in range(y.shape[0]):
        label = t[i]
        inside = 0 <= label < y.shape[1]
        for j in range(y.shape[1]):
            dx[i, j] = y[i, j] * factor if inside else np.nan
        if inside:
            dx[i, label] = (y[i, label] - 1) * factor
