"""The functions of `cupy`: NumPy's of the same names, on the same memory."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.cuda_on_cpu.array import empty, ndarray, on_numpy, refuse_products
from benchmarks.cuda_on_cpu.creation import array, asarray, ascontiguousarray, asnumpy, empty_like
from benchmarks.cuda_on_cpu.host import note_host_copy

__all__ = ["functions", "submodule"]

NOT_IN_CUPY = """
    False_ ScalarType True_ asmatrix block bmat busday_count busday_offset busdaycalendar bytes_ character
    clongdouble complex256 datetime64 datetime_as_string datetime_data einsum_path errstate flexible float128
    frompyfunc fromregex geomspace get_include getbufsize geterr geterrcall histogram_bin_edges info insert
    is_busday isnat little_endian longdouble matrix matvec memmap nanpercentile nanquantile ndenumerate nditer
    nested_iters object_ polyder polydiv polyint recarray record sctypeDict setbufsize seterr seterrcall
    show_runtime spacing str_ test timedelta64 typecodes unstack vecdot vecmat void
"""
"""Names of NumPy that CuPy 14.2 has not."""
PRODUCTS = {"matmul", "dot", "tensordot", "vdot", "inner", "einsum"}
"""Those that CuPy leaves to cuBLAS, which it refuses to capture."""
WAITING = {"nonzero", "flatnonzero", "argwhere", "unique", "extract", "compress", "setdiff1d",
           "union1d", "intersect1d", "unique_all", "unique_counts", "unique_inverse", "unique_values",
           "average", "bincount", "histogram"}
"""Those that have to ask the GPU for values, most of them for how long the result is."""
TRUTHS = {"allclose", "array_equal", "array_equiv"}
"""Those that NumPy answers with a bool, and CuPy with an array."""
WRITING = {"copyto", "put", "place", "putmask", "fill_diagonal", "put_along_axis"}
"""Those that write into their first argument."""
WITHOUT_WHERE = {"sum", "prod", "max", "min", "amax", "amin", "mean", "any", "all"}
"""Reductions that in NumPy take `where` and `initial`, and in CuPy do not."""


def functions() -> dict[str, Any]:
    """Give the names of `cupy` that are NumPy's, and what they stand for."""
    names: dict[str, Any] = {}
    for name in sorted(set(dir(np)) - set(NOT_IN_CUPY.split())):
        found = getattr(np, name)
        if name.startswith("_") or isinstance(found, ModuleType):
            continue
        names[name] = found if isinstance(found, type) or not callable(found) else function(name, found)
    names.update(array=array, asarray=asarray, asanyarray=asarray, empty=empty, asnumpy=asnumpy,
                 ndarray=ndarray, ascontiguousarray=ascontiguousarray, get_array_module=_get_array_module)
    names.update(empty_like=empty_like, take=functools.partial(names["take"], mode="wrap"))
    return names


def function(name: str, f: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function of NumPy one of CuPy."""
    arguments = f.nin if isinstance(f, np.ufunc) else None
    kind = "MEMSET" if name in ("zeros", "zeros_like") else "KERNEL"

    def on_device(*args: Any, **kwargs: Any) -> Any:
        if name in PRODUCTS:
            refuse_products()
        if name in WAITING:
            note_host_copy()
        if name in WITHOUT_WHERE and kwargs.keys() & {"where", "initial"}:
            raise TypeError(f"{name}() got an unexpected keyword argument")
        writes = [a for a in (args[:1] if name in WRITING else args[arguments:] if arguments else ())
                  if isinstance(a, ndarray)]
        out = kwargs.get("out")
        writes += [a for a in (out if isinstance(out, tuple) else (out,)) if a is not None]
        return on_numpy(truth if name in TRUTHS else f, *args, _name=name, _writes=writes, _kind=kind,
                        **kwargs)

    def truth(*args: Any, **kwargs: Any) -> Any:
        return np.bool_(f(*args, **kwargs))

    on_device.__name__ = on_device.__qualname__ = name
    on_device.__module__ = "cupy"
    return on_device


def submodule(name: str, of: ModuleType) -> ModuleType:
    """Make a module of NumPy's functions one of CuPy's."""
    module = ModuleType(name)
    for key in of.__all__:
        found = getattr(of, key)
        if callable(found) and not isinstance(found, type):
            found = function(key, found)
        setattr(module, key, found)
    return module


def _get_array_module(*args: Any) -> Any:
    import cupy

    return cupy if any(isinstance(a, ndarray) for a in args) else np


