"""What the layer checks need of single libraries: arrays brought to one, and its modes."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import array_api_compat
import numpy as np
from numpy.typing import NDArray

from xpnet.functional._array import Array, array_namespace

__all__ = ["all_finite", "difference", "equal", "installed", "jax_float64", "jit", "largest",
           "on_jax", "on_meta", "on_numpy", "on_strict", "read_only", "strict_flags"]


def installed(module: str) -> bool:
    """Tell whether a library is there, without importing it."""
    return importlib.util.find_spec(module) is not None


def on_numpy(x: Array) -> NDArray[Any]:
    """Give NumPy's copy of an array."""
    if array_api_compat.is_torch_array(x):
        x = x.numpy(force=True)
    elif array_api_compat.is_cupy_array(x):
        x = x.get()
    elif array_api_compat.is_array_api_strict_namespace(xp := array_namespace(x)):
        x = x.to_device(xp.Device("CPU_DEVICE"))
    return np.array(x)  # a copy, since JAX gives an array that is read only


def read_only(x: Array) -> NDArray[Any]:
    """Give NumPy's copy of an array, which cannot be written to."""
    copy = on_numpy(x)
    copy.flags.writeable = False
    return copy


def on_jax(x: Array) -> Array:
    """Give JAX's copy of an array."""
    import jax.numpy

    return jax.numpy.asarray(on_numpy(x))


def on_strict(x: Array) -> Array:
    """Give a copy of an array on the second device of array-api-strict."""
    import array_api_strict

    return array_api_strict.asarray(on_numpy(x), device=array_api_strict.Device("device1"))


def on_meta(x: Array) -> Array:
    """Give an array of PyTorch's with this one's shape and dtype, and no values."""
    import torch

    return torch.asarray(on_numpy(x)).to("meta")


def jit(f: Callable[..., Any]) -> Callable[..., Any]:
    """Let JAX compile a function."""
    import jax

    return jax.jit(f)


def jax_float64() -> AbstractContextManager[None]:
    """Let JAX have float64 for a while."""
    import jax

    return jax.enable_x64(True)


def strict_flags() -> AbstractContextManager[None]:
    """Let array-api-strict refuse for a while what JAX cannot compile and a GPU has to wait for."""
    import array_api_strict

    return array_api_strict.ArrayAPIStrictFlags(boolean_indexing=False, data_dependent_shapes=False)


def equal(a: Array, b: Array) -> bool:
    """Tell whether two arrays, of one library or of two, hold the same, NaN being NaN."""
    return np.array_equal(on_numpy(a), on_numpy(b), equal_nan=True)


def difference(a: Array, b: Array) -> float:
    """Give the largest difference of two arrays of one shape; NaN differs from all but NaN."""
    x, y = on_numpy(a), on_numpy(b)
    with np.errstate(invalid="ignore"):
        off = np.where(np.isclose(x, y, rtol=0, atol=0, equal_nan=True), 0, np.abs(x - y))
    return float(np.max(np.where(np.isnan(off), np.inf, off), initial=0))


def largest(x: Array) -> float:
    """Give the magnitude of the largest finite element, 0 if there is none."""
    host = on_numpy(x)
    return float(np.max(np.abs(host[np.isfinite(host)]), initial=0))


def all_finite(x: Array) -> bool:
    """Tell whether no element is NaN or infinity."""
    return bool(np.all(np.isfinite(on_numpy(x))))
