"""float32 and float64: which an array is, and the same in the other."""

from __future__ import annotations

from collections.abc import Mapping

from xpnet.functional._array import Array, array_namespace

__all__ = ["is_float32", "same", "widened", "widened_array"]


def is_float32(x: Array) -> bool:
    """Tell whether an array is of float32."""
    xp = array_namespace(x)
    return bool(xp.isdtype(x.dtype, "real floating")) and xp.finfo(x.dtype).bits == 32


def widened_array(x: Array) -> Array:
    """Give a float32 array in float64; any other as it is."""
    xp = array_namespace(x)
    return xp.astype(x, xp.float64) if is_float32(x) else x


def widened(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Give float32 arrays in float64; any others as they are."""
    return {name: widened_array(x) for name, x in arrays.items()}


def same(a: Array, b: Array, roundings: float = 0) -> bool:
    """Tell whether arrays are equal, but for so many roundings of the largest element."""
    xp = array_namespace(a, b)
    if tuple(a.shape) != tuple(b.shape) or a.dtype != b.dtype:
        return False
    if bool(xp.all(a == b)):
        return True
    if not roundings:
        return False
    near = roundings * float(xp.finfo(b.dtype).eps) * float(xp.max(xp.abs(b)))
    return bool(xp.all(xp.abs(a - b) <= near))
