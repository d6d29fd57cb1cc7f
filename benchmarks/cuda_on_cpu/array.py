"""`cupy.ndarray`: an array on a device that is the host's memory.

Its operators and the methods that are functions of the same names are in `operators.py`.
"""
# ruff: noqa: D102, the methods are CuPy's, which documents them

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.cuda_on_cpu.capture import current, current_capture, submit
from benchmarks.cuda_on_cpu.devices import Device
from benchmarks.cuda_on_cpu.execution import call, fill_with_garbage, new_memory
from benchmarks.cuda_on_cpu.host import note_copy_from_host, note_host_copy
from benchmarks.cuda_on_cpu.memory import Memory, MemoryPointer

__all__ = ["empty", "lower_to_numpy", "ndarray", "on_numpy", "refuse_products", "wrap"]

Host = np.ndarray[Any, Any]


class ndarray:  # noqa: N801, CuPy's name
    """An array, as CuPy has it; its operators are array-api-strict's, on its second device."""

    __slots__ = ("__weakref__", "_array", "_memory")
    __hash__ = None  # type: ignore[assignment]
    __array_ufunc__ = None  # NumPy's scalars leave operators to this class

    _array: Host
    _memory: Memory

    def __init__(self, shape: Any, dtype: Any = float, memptr: MemoryPointer | None = None,
                 strides: Any = None, order: str = "C") -> None:
        shape = (operator.index(shape),) if hasattr(shape, "__index__") else tuple(shape)
        if memptr is None:
            self._memory, self._array = new_memory(shape, dtype, order)
            fill_with_garbage(self._array)
        else:
            self._memory = memptr.mem
            self._array = np.ndarray(shape, dtype, self._memory.block, memptr.ptr - self._memory.ptr,
                                     strides, "F" if order == "F" else "C")

    # What it is

    dtype = property(lambda self: self._array.dtype)
    shape = property(lambda self: self._array.shape)
    strides = property(lambda self: self._array.strides)
    ndim = property(lambda self: self._array.ndim)
    size = property(lambda self: self._array.size)
    nbytes = property(lambda self: self._array.nbytes)
    itemsize = property(lambda self: self._array.itemsize)
    flags = property(lambda self: self._array.flags)
    device = property(lambda self: Device(self._memory.device_id))
    T = property(lambda self: wrap(self._memory, self._array.T))
    mT = property(lambda self: wrap(self._memory, self._array.mT))  # noqa: N815, the standard's name
    real = property(lambda self: on_numpy(np.real, self))
    imag = property(lambda self: on_numpy(np.imag, self))

    @property
    def data(self) -> MemoryPointer:
        address = self._array.__array_interface__["data"][0]
        return MemoryPointer(self._memory, address - self._memory.ptr if self.size else 0)

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of unsized object")
        return int(self.shape[0])

    def __iter__(self) -> Iterator[ndarray]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[k] for k in range(len(self)))

    # Copies to and from the host

    def get(self, stream: Any = None, order: str = "C", out: Host | None = None,
            blocking: bool = True) -> Host:
        if self.size:
            note_host_copy()
        if out is None:
            return self._array.copy(order="F" if order == "F" else "C")
        if out.dtype != self.dtype or out.shape != self.shape:
            raise ValueError(f"{self.shape} of {self.dtype} cannot be copied into {out.shape} of {out.dtype}")
        out[...] = self._array
        return out

    def set(self, arr: Host, stream: Any = None) -> None:
        if not isinstance(arr, np.ndarray) or arr.dtype != self.dtype or arr.shape != self.shape:
            raise TypeError("only a numpy.ndarray of the same shape and dtype can be set")
        note_copy_from_host()
        self._array[...] = arr

    def item(self) -> Any:
        if self.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        return self.get().item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def tobytes(self, order: Any = "C") -> bytes:
        return self.get().tobytes(order)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Host:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to "
                        "construct a NumPy array explicitly.")

    def __bool__(self) -> bool:
        return bool(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __complex__(self) -> complex:
        return complex(self.get())

    def __repr__(self) -> str:
        return repr(self.get())

    def __str__(self) -> str:
        return str(self.get())

    def __format__(self, spec: str) -> str:
        return format(self.get(), spec)

    def __reduce__(self) -> Any:
        from benchmarks.cuda_on_cpu.creation import array

        return array, (self.get(),)

    # Copies on the device, and views

    def copy(self, order: str = "C") -> ndarray:
        if self._memory.device_id == current.device:
            return on_numpy(np.copy, self, order=order, _kind="MEMCPY")
        out = empty(self.shape, self.dtype)  # a copy from another device is no kernel of this one
        submit("MEMCPY", "copy", functools.partial(np.copyto, out._array, self._array))
        return out

    def __copy__(self) -> ndarray:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> ndarray:
        with self.device:
            return self.copy()

    def astype(self, dtype: Any, order: str = "K", casting: Any = None, subok: Any = None,
               copy: bool = True) -> ndarray:
        return on_numpy(lambda a: a.astype(dtype, order, copy=copy), self, _name="astype")

    def view(self, dtype: Any = None) -> ndarray:
        return wrap(self._memory, self._array.view() if dtype is None else self._array.view(dtype))

    def reshape(self, *shape: Any, order: str = "C") -> ndarray:
        return on_numpy(lambda a: a.reshape(*shape, order=order), self, _name="reshape")

    def transpose(self, *axes: Any) -> ndarray:
        return wrap(self._memory, self._array.transpose(*axes))

    def fill(self, value: Any) -> None:
        self[...] = value

    # Indices

    def __getitem__(self, key: Any) -> ndarray:
        keys = key if isinstance(key, tuple) else (key,)
        keys = tuple(k.item() if isinstance(k, np.generic) else k for k in keys)
        if any(isinstance(k, list | np.ndarray) for k in keys):
            note_copy_from_host()
        if any(getattr(k, "dtype", None) == bool and getattr(k, "ndim", 0) for k in keys):
            raise RuntimeError("an index of booleans waits for the GPU: how long the result is depends on them")
        if Ellipsis not in [k for k in keys if not hasattr(k, "dtype")]:
            keys = (*keys, Ellipsis)  # without it, NumPy gives scalars, which are copies
        if not any(hasattr(k, "dtype") or isinstance(k, list) for k in keys):
            return wrap(self._memory, self._array[keys])
        keys = tuple(k if not isinstance(k, np.ndarray) else k.tolist() for k in keys)
        return on_numpy(lambda a, *k: np.array(a[k]), self, *keys, _name="take")

    def __setitem__(self, key: Any, value: Any) -> None:
        keys = key if isinstance(key, tuple) else (key,)
        if any(isinstance(k, list | np.ndarray) for k in keys):
            note_copy_from_host()

        def put(a: Host, value: Any, *keys: Any) -> None:
            a[keys] = value

        kind = "KERNEL" if not isinstance(value, ndarray) else "MEMCPY"
        on_numpy(put, self, value, *keys, _name="setitem", _writes=[self], _kind=kind)


def wrap(memory: Memory, host: Host) -> ndarray:
    """Make an array of a block and what lies there."""
    out = ndarray.__new__(ndarray)
    out._memory, out._array = memory, host
    return out


def lower_to_numpy(a: Any) -> Any:
    """Give what NumPy's functions take for an argument of CuPy's."""
    if isinstance(a, ndarray):
        return a._array
    if isinstance(a, np.ndarray):
        raise TypeError(f"Unsupported type {type(a)}")
    return a


def on_numpy(f: Callable[..., Any], *args: Any, _name: str = "", _writes: Any = (), _kind: str = "KERNEL",
             _keep_order: bool | None = None, **kwargs: Any) -> Any:
    """Call a function of NumPy."""
    name = _name or f.__name__
    keep = name in _KEEP_ORDER if _keep_order is None else _keep_order
    return call(f, args, kwargs, name=name, lower=lower_to_numpy, wrap=wrap, keep_order=keep,
                writes=_writes, kind=_kind)


_KEEP_ORDER = {"copy", "astype", "empty_like", "zeros_like", "ones_like", "full_like", "asfortranarray"}
"""Functions whose results may lie column by column; what kernels compute lies row by row."""


def refuse_products() -> None:
    """Refuse cuBLAS while capturing, as CuPy does."""
    if current_capture() is not None:
        raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")


def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    """Give an array of garbage: what is read before it is written shows up."""
    return ndarray(shape, dtype, order=order)
