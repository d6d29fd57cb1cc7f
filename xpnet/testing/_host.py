"""What the checks need of NumPy and of single libraries; the rest of `testing` imports none."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import array_api_compat
import numpy as np
from numpy.typing import NDArray

from xpnet.functional._array import Array, array_namespace, device

__all__ = [
    "Draws",
    "all_finite",
    "difference",
    "equal",
    "float64_is_on",
    "float64_switched",
    "has_float64",
    "installed",
    "is_array",
    "is_numpy",
    "jax_layer",
    "jax_namespace",
    "jit",
    "largest",
    "on_jax",
    "on_meta",
    "on_numpy",
    "on_strict",
    "on_torch",
    "quiet",
    "read_only",
    "strict_flags",
    "torch_layer",
]


class Draws:
    """Random numbers, drawn on the host from one seed: the same on every library."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def direction(self, x: Array) -> Array:
        """Draw an array like `x` whose elements have either sign and a magnitude of 1/2 to 3/2.

        None is near 0, so that no element of a gradient is passed over; and magnitudes are
        continuous, so that errors of several elements do not cancel.
        """
        host = self._rng.random(tuple(x.shape), dtype=np.float32)
        host *= 2
        host -= 1.5
        host += host >= -0.5  # below, -1.5 to -0.5; above, 0.5 to 1.5
        return array_namespace(x).asarray(host, dtype=x.dtype, device=device(x))

    def choice(self, n: int, count: int) -> list[int]:
        """Choose `count` of the numbers below `n`, all of them if there are no more; in order."""
        if count >= n:
            return list(range(n))
        return sorted(self._rng.choice(n, count, replace=False).tolist())


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep NumPy from warning of what a check does on purpose: leave a function's domain."""
    with np.errstate(all="ignore"):
        yield


@contextlib.contextmanager
def float64_switched(xp: Any, on: bool) -> Iterator[None]:
    """Switch float64 on or off where a library has a switch for it: JAX, in this thread."""
    if _is_jax(xp):
        import jax

        with jax.enable_x64(on):
            yield
    else:
        yield


def float64_is_on(xp: Any) -> bool:
    """Tell whether float64 is switched on now."""
    if _is_jax(xp):
        import jax

        return bool(jax.config.jax_enable_x64)
    return True


def _is_jax(xp: Any) -> bool:
    return xp.__name__.partition(".")[0] == "jax"


def has_float64(x: Array) -> bool:
    """Tell whether the library has float64 on the device of `x`."""
    xp = array_namespace(x)
    try:
        with float64_switched(xp, on=True):
            return bool(xp.astype(x, xp.float64).dtype == xp.float64)
    except Exception:  # noqa: BLE001  libraries differ in what they raise
        return False


def is_array(x: object) -> bool:
    """Tell whether something is an array; NumPy's scalars, which go with those of any, are none."""
    return array_api_compat.is_array_api_obj(x) and not isinstance(x, np.generic)


def is_numpy(x: Array) -> bool:
    """Tell whether an array is NumPy's."""
    return isinstance(x, np.ndarray | np.generic)


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


def on_torch(x: Array) -> Array:
    """Give PyTorch's copy of an array."""
    import torch

    return torch.asarray(on_numpy(x))


def on_meta(x: Array) -> Array:
    """Give an array of PyTorch's with this one's shape and dtype, and no values."""
    return on_torch(x).to("meta")


def jax_namespace() -> Any:
    """Give JAX's namespace."""
    import jax.numpy

    return jax.numpy


def jit(f: Callable[..., Any]) -> Callable[..., Any]:
    """Let JAX compile a function."""
    import jax

    return jax.jit(f)


def jax_layer(forward: Callable[[list[Array], Array], Array], arrays: list[Array]) -> Any:
    """Give a layer of this forward, with these arrays for parameters, whose backward is JAX's."""
    from xpnet.adapters import from_jax

    return from_jax(forward, arrays)


def torch_layer(forward: Callable[[list[Array], Array], Array], arrays: list[Array]) -> Any:
    """Give a layer of this forward, with these arrays for parameters, whose backward is PyTorch's."""
    import torch

    from xpnet.adapters import from_torch

    class Forward(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.arrays = torch.nn.ParameterList(arrays)

        def forward(self, x: Array) -> Array:
            # Within vmap a tensor does not show that it is on the tape, which layers refuse.
            lifted = torch.func.vmap(lambda arrays, x: forward(arrays, x))
            return lifted([a[None] for a in self.arrays], x[None])[0]

    return from_torch(Forward())


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
