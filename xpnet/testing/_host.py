"""What the checks need of NumPy and of single libraries; the rest of `testing` imports none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import array_api_compat
import numpy as np

from xpnet.functional._array import Array, array_namespace, device

__all__ = [
    "Draws",
    "chunk_elements",
    "float64_is_on",
    "float64_switched",
    "has_float64",
    "is_accelerator",
    "is_array",
    "quiet",
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


def is_accelerator(x: Array) -> bool:
    """Tell whether `x` lies on a GPU or the like."""
    return any(word in str(device(x)).lower() for word in ("cuda", "gpu", "tpu", "mps", "xpu"))


def chunk_elements(x: Array) -> int:
    """Give how many elements to evaluate in one stack on the device of `x`.

    8 MiB of float64 on a CPU, the fastest there and small; 128 MiB on a GPU, which launches make
    slow and has the memory.
    """
    return 2**24 if is_accelerator(x) else 2**20
