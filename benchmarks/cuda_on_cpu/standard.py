"""`array_api_compat.cupy`: array-api-strict's functions, so that the compute path is held to the standard."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import array_api_compat.numpy
import numpy as np

from benchmarks.cuda_on_cpu.array import (
    empty,
    lower_to_numpy,
    ndarray,
    refuse_products,
    wrap,
)
from benchmarks.cuda_on_cpu.creation import array, empty_like
from benchmarks.cuda_on_cpu.devices import Device, devices
from benchmarks.cuda_on_cpu.execution import call, leaves, mapped
from benchmarks.cuda_on_cpu.host import note_copy_from_host
from benchmarks.cuda_on_cpu.strict import DEVICE, DTYPES, is_float16, strict, to_strict

__all__ = ["namespace"]

CREATING = {"arange", "eye", "full", "linspace", "ones", "zeros"}
"""Functions that make arrays of no others. On CuPy all but `asarray` ignore `device=`."""
PRODUCTS = {"matmul", "tensordot", "vecdot"}
NUMPYS = {DTYPES[dtype]: dtype for dtype in DTYPES}


class Namespace(ModuleType):
    """The namespace; what the standard has not is CuPy's, as in the real one."""

    def __init__(self, cupy: ModuleType) -> None:
        super().__init__("array_api_compat.cupy", __doc__)
        self._cupy = cupy

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._cupy, name)


def namespace(cupy: ModuleType) -> ModuleType:
    """Make the namespace over a stand-in for CuPy."""
    module = Namespace(cupy)
    for name in strict.__all__:
        found = getattr(strict, name)
        if inspect.isfunction(found) and "flags" not in name:
            setattr(module, name, function(name, found))
        elif isinstance(found, float | None):
            setattr(module, name, found)
    for dtype in DTYPES:
        setattr(module, dtype.name, dtype.type)
    vars(module).update(
        asarray=asarray, astype=astype, empty=_without_device(empty), isdtype=np.isdtype, finfo=finfo,
        empty_like=_without_device(empty_like), iinfo=np.iinfo, result_type=result_type, can_cast=np.can_cast,
        __array_namespace_info__=Info, __array_api_version__=strict.__array_api_version__,
    )
    for name in ("linalg", "fft"):
        extension = ModuleType(f"array_api_compat.cupy.{name}")
        for key in getattr(strict, name).__all__:
            found = getattr(getattr(strict, name), key)
            setattr(extension, key, function(key, found) if inspect.isfunction(found) else found)
        setattr(module, name, extension)
    return module


ARRAYS = 8
"""How many arrays CuPy puts together without bringing their addresses from the host."""


def function(name: str, f: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function of array-api-strict one of arrays of the stand-in."""
    @functools.wraps(f)
    def on_device(*args: Any, **kwargs: Any) -> Any:
        if name in PRODUCTS:
            refuse_products()
        if name in ("concat", "stack") and len(args[0]) > ARRAYS:
            note_copy_from_host()
        for device in [kwargs.pop("device", None)]:
            if not isinstance(device, Device | int | None):
                raise TypeError(f"Unsupported device type {device!r}")
        g, lower = f, to_strict
        if any(map(is_float16, leaves([args, list(kwargs.values())]))):
            g, lower = getattr(array_api_compat.numpy, name), lower_to_numpy
        elif name in CREATING:
            kwargs["device"] = DEVICE
        out = call(g, args, kwargs, name=name, lower=lower, wrap=wrap,
                   kind="MEMSET" if name in ("zeros", "zeros_like") else "KERNEL")
        return mapped(lambda a: NUMPYS.get(a, a) if type(a) in _DTYPE_TYPES else a, out)

    return on_device


_DTYPE_TYPES = {type(dtype) for dtype in NUMPYS}


def _without_device(f: Callable[..., ndarray]) -> Callable[..., ndarray]:
    @functools.wraps(f)
    def on_device(like: Any, /, *, dtype: Any = None, device: Any = None) -> ndarray:
        return f(like) if dtype is None else f(like, dtype)

    return on_device


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> ndarray:
    """Copy from the host, or give an array on a device."""
    with Device(device):
        out = array(obj, dtype, copy=bool(copy))
    if copy is False and out is not obj:
        raise ValueError("Unable to avoid copy while creating an array as requested")
    return out


def astype(x: ndarray, dtype: Any, /, *, copy: bool = True, device: Any = None) -> ndarray:
    """Cast; array-api-strict says whether that can be."""
    lower = lower_to_numpy if is_float16(x) or is_float16(dtype) else to_strict
    f = (lambda a, t: a.astype(t, copy=copy)) if lower is lower_to_numpy else functools.partial(
        strict.astype, copy=copy)
    out: ndarray = call(f, (x, dtype), {}, name="astype", lower=lower, wrap=wrap, keep_order=True)
    return out if device is None else asarray(out, device=device)


def finfo(dtype: Any) -> Any:
    """Give array-api-strict's, whose numbers are Python's."""
    found = getattr(dtype, "dtype", dtype) if isinstance(dtype, ndarray) else dtype
    if np.dtype(found) not in DTYPES:
        return np.finfo(found)
    info = strict.finfo(DTYPES[np.dtype(found)])
    names = ("bits", "eps", "max", "min", "smallest_normal")
    return SimpleNamespace(**{name: getattr(info, name) for name in names}, dtype=np.finfo(found).dtype)


def result_type(*args: Any) -> Any:
    """Promote as the standard has it."""
    args = tuple(a.dtype if isinstance(a, ndarray) else a for a in args)
    if any(map(is_float16, args)):
        return np.result_type(*args)
    return NUMPYS[strict.result_type(*map(to_strict, args))]


class Info:
    """What `__array_namespace_info__` says for CuPy."""

    def capabilities(self) -> dict[str, Any]:
        return {"boolean indexing": False, "data-dependent shapes": False, "max dimensions": 64}

    def default_device(self) -> Device:
        return Device(0)

    def default_dtypes(self, *, device: Any = None) -> dict[str, Any]:
        return {"real floating": np.dtype("f8"), "complex floating": np.dtype("c16"),
                "integral": np.dtype(np.intp), "indexing": np.dtype(np.intp)}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, Any]:
        return {dtype.name: dtype for dtype in DTYPES if kind is None or np.isdtype(dtype, kind)}

    def devices(self) -> tuple[Device, ...]:
        return tuple(map(Device, range(devices.count)))


