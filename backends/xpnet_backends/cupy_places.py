"""Where the results of a step are to lie that replace what it was given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import cupy

__all__ = ["leading_to", "replacement_of"]

_places: ContextVar[dict[int, Any] | None] = ContextVar("places", default=None)


@contextmanager
def leading_to(given: list[Any], places: list[Any]) -> Iterator[None]:
    """Let what replaces some arrays lie in the places of others, one for each, within `with`."""
    token = _places.set({a.data.ptr: place for a, place in zip(given, places, strict=True) if a.size})
    try:
        yield
    finally:
        _places.reset(token)


def replacement_of(a: Any) -> Any:
    """Give an array for what replaces another one: its place, if it has one, else new memory.

    A place is given once. What is computed for the same array again, as by an optimiser that is made of two,
    is not what replaces it, or not alone.
    """
    place = (_places.get() or {}).pop(a.data.ptr, None)
    fits = place is not None and place.shape == a.shape and place.dtype == a.dtype
    return place if fits else cupy.empty(a.shape, a.dtype)
