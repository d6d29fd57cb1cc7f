"""To and from array-api-strict, whose second device stands for the GPU.

It has no float16. Functions of that are NumPy's.
"""

from __future__ import annotations

from typing import Any

import array_api_strict
import numpy as np
from array_api_strict._array_object import Array

from benchmarks.cuda_on_cpu.devices import Device

__all__ = ["DEVICE", "DTYPES", "is_float16", "operand", "strict", "to_strict"]

strict: Any = array_api_strict
DEVICE = array_api_strict.Device("device1")
DTYPES = {
    np.dtype(name): getattr(array_api_strict, name)
    for name in ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
                 "float32", "float64", "complex64", "complex128")
}
"""array-api-strict's dtypes, by NumPy's, which CuPy's are."""


def is_dtype(a: Any) -> bool:
    """Tell whether this is a dtype as CuPy takes it: NumPy's, or the type of its scalars."""
    return isinstance(a, np.dtype) or (isinstance(a, type) and issubclass(a, np.generic))


def is_float16(a: Any) -> bool:
    """Tell whether this is an array of float16, or that dtype."""
    return getattr(a, "dtype", None) == np.float16 if hasattr(a, "_array") else (
        is_dtype(a) and np.dtype(a) == np.float16)


def to_strict(a: Any) -> Any:
    """Give what array-api-strict takes for an argument."""
    if hasattr(a, "_array"):
        return Array._new(a._array, device=DEVICE)
    if is_dtype(a):
        return DTYPES.get(np.dtype(a), a)
    if isinstance(a, np.ndarray):
        raise TypeError(f"Unsupported type {type(a)}")
    return DEVICE if isinstance(a, Device) else a


def operand(a: Any) -> Any:
    """Give what array-api-strict's operators take; NumPy's scalars keep their dtype, as in CuPy."""
    return Array._new(np.asarray(a), device=DEVICE) if isinstance(a, np.generic) else to_strict(a)


