"""Stand-ins for `xpnet.functional.relu` and its backward."""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnet.functional import relu as plain_relu
from xpnet.functional import relu_backward as plain_relu_backward
from xpnet_backends.numpy_loops import compiled_loops
from xpnet_backends.numpy_masks import BLOCK, INTEGERS, at_a_time, masked
from xpnet_backends.numpy_recording import recordable
from xpnet_backends.numpy_threads import share, thread_count

__all__ = ["relu", "relu_backward"]

loops = compiled_loops("numpy_numba")


def relu(x: Any) -> Any:
    """Stand in for `xpnet.functional.relu`."""
    if _is_large(x) and thread_count() > 1:
        return _shared_relu(x)
    if not _fits_loops(x):
        return plain_relu(x)
    y = np.empty_like(x)
    _relu(x, y)
    return y


def relu_backward(dout: Any, x: Any) -> Any:
    """Stand in for `xpnet.functional.relu_backward`."""
    if dout.shape != x.shape or dout.dtype != x.dtype or x.dtype not in INTEGERS or not x.ndim:
        return plain_relu_backward(dout, x)
    if _is_large(x) and (thread_count() > 1 or not _fits_loops(dout, x)):
        return _shared_relu_backward(dout, x)
    dx = np.empty_like(x)
    _relu_backward(dout, x, dx)
    return dx


@recordable
def _shared_relu(x: Any, *, out: Any = None) -> Any:
    y = np.empty_like(x) if out is None else out

    def work(first: int, last: int) -> None:
        _relu(x[first:last], y[first:last])

    share(work, x.shape[0], at_a_time(x))
    return y


@recordable
def _shared_relu_backward(dout: Any, x: Any, *, out: Any = None) -> Any:
    dx = np.empty_like(x) if out is None else out

    def work(first: int, last: int) -> None:
        _relu_backward(dout[first:last], x[first:last], dx[first:last])

    share(work, x.shape[0], at_a_time(x))
    return dx


def _relu(x: Any, y: Any) -> None:
    if _fits_loops(x):
        loops.relu(x.reshape(-1), y.reshape(-1))
    else:
        np.maximum(x, 0, out=y)


def _relu_backward(dout: Any, x: Any, dx: Any) -> None:
    if _fits_loops(dout, x):
        loops.relu_backward(dout.reshape(-1), x.reshape(-1), dx.reshape(-1))
    else:
        masked(dout, ~(x <= 0), out=dx)


def _is_large(x: Any) -> bool:
    return bool(x.ndim > 1 and x.size > BLOCK)


def _fits_loops(*arrays: Any) -> bool:
    return loops is not None and all(
        a.flags.carray and a.dtype in (np.float32, np.float64) for a in arrays)
