"""`cupy.array`, `asarray` and `asnumpy`: to the device, on it, and back."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from benchmarks.cuda_on_cpu.array import empty, ndarray, on_numpy
from benchmarks.cuda_on_cpu.capture import current, submit
from benchmarks.cuda_on_cpu.execution import leaves
from benchmarks.cuda_on_cpu.host import note_copy_from_host

__all__ = ["array", "asarray", "ascontiguousarray", "asnumpy", "empty_like"]


def array(obj: Any, dtype: Any = None, copy: bool = True, order: str = "K", subok: bool = False,
          ndmin: int = 0) -> ndarray:
    """Copy from the host, or on the device; `copy=False` if that cannot be avoided."""
    if isinstance(obj, ndarray):
        a = obj if obj._memory.device_id == current.device else obj.copy()
        a = a.astype(a.dtype if dtype is None else dtype, order, copy=copy and a is obj)
        return a.reshape((1,) * (ndmin - a.ndim) + a.shape) if a.ndim < ndmin else a
    if isinstance(obj, tuple | list) and any(isinstance(a, ndarray) for a in leaves(obj)):
        return on_numpy(np.array, obj, dtype=dtype, ndmin=ndmin)
    host = np.array(obj, dtype=dtype, ndmin=ndmin, order="F" if order == "F" else "K")
    if host.dtype.kind not in "biufc":
        raise ValueError(f"Unsupported dtype {host.dtype}")
    if host.ndim:
        note_copy_from_host()
    column_by_column = order == "F" or (order in ("K", "A") and host.flags.fnc)
    out = empty(host.shape, host.dtype, "F" if column_by_column else "C")
    submit("MEMCPY" if host.ndim else "KERNEL", "array", functools.partial(np.copyto, out._array, host))
    return out


def asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True
            ) -> np.ndarray[Any, Any]:
    """Copy to the host."""
    return a.get(stream, order, out) if isinstance(a, ndarray) else np.asarray(a, order="C")


def asarray(a: Any, dtype: Any = None, order: str = "K", *, blocking: bool = False) -> ndarray:
    """Give an array on the current device, and no copy if it is one."""
    return array(a, dtype, copy=False, order=order)


def ascontiguousarray(a: Any, dtype: Any = None) -> ndarray:
    """Give an array that lies row by row, and has an axis."""
    a = asarray(a, dtype)
    if a.ndim and a.flags.c_contiguous:
        return a
    return a.copy() if a.ndim else a.reshape(1)


def empty_like(a: ndarray, dtype: Any = None, order: str = "K", subok: Any = None,
               shape: Any = None) -> ndarray:
    """Give an array of garbage that is like another one."""
    column_by_column = order == "F" or (order == "K" and shape is None and a.flags.fnc)
    return empty(a.shape if shape is None else shape, a.dtype if dtype is None else dtype,
                 "F" if column_by_column else "C")
