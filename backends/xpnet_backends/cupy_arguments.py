"""What is asked of a function's arguments at each call: whether they are as before, and what has to be copied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cupy

from xpnet_backends.nested import leaves

__all__ = ["arrays", "copy_to", "fits", "is_array", "place_for", "signature"]


def arrays(tree: Any) -> list[Any]:
    """Give all arrays in nested dictionaries, tuples and lists."""
    return [a for _, a in leaves(tree) if is_array(a)]


def signature(tree: Any) -> tuple[Any, ...]:
    """Give what must be the same for the same graph to be launched."""
    return tuple((place, a.shape, a.dtype, a.device.id) if is_array(a) else (place, type(a), a)
                 for place, a in leaves(tree))


def fits(tree: Any, like: Any, copied: list[Any], found: list[Any]) -> bool:
    """Tell whether arguments are like those captured, and gather the arrays that are to be copied.

    It is asked at each call, and so takes no longer than it has to.
    """
    if isinstance(like, dict):
        return (isinstance(tree, Mapping) and tree.keys() == like.keys()
                and all(fits(tree[key], a, copied, found) for key, a in like.items()))
    if isinstance(like, tuple | list):
        return (isinstance(tree, type(like)) and len(tree) == len(like)
                and all(fits(a, b, copied, found) for a, b in zip(tree, like, strict=True)))
    if tree is like:
        return True
    if not isinstance(like, cupy.ndarray):
        return bool(type(tree) is type(like) and tree == like)
    k = len(found)
    found.append(tree)
    return bool(k < len(copied) and copied[k] is like and isinstance(tree, cupy.ndarray)
                and tree.shape == like.shape and tree.dtype == like.dtype
                and tree.data.device_id == like.data.device_id)


def is_array(a: Any) -> bool:
    """Tell whether this is one of CuPy's arrays."""
    return isinstance(a, cupy.ndarray)


def place_for(a: Any) -> Any:
    """Give memory for an array like this one; what is no array stays what it is."""
    return cupy.empty(a.shape, a.dtype) if is_array(a) else a


def copy_to(place: Any, a: Any) -> None:
    """Copy an array to a place, which lies row by row, in less time than `cupy.copyto` takes to look at both."""
    if place is a:
        return
    if a.flags.c_contiguous and a.data.device_id == place.data.device_id:
        place.data.copy_from_device_async(a.data, a.nbytes)
    else:
        cupy.copyto(place, a)
