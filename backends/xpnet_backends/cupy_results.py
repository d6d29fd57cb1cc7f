"""What graphs give: copies, single numbers side by side."""

from __future__ import annotations

from typing import Any

import cupy

from xpnet_backends.cupy_arguments import copy_to, is_array

__all__ = ["Kept", "Room"]

ROOM = 1024
"""How many results, of one number each, are given side by side, to be brought to the host at one go."""


class Kept:
    """What a graph gives, always in the same memory: of which copies are given away."""

    def __init__(self, a: Any, room: Room) -> None:
        self._a, self._room = a, room

    def copy(self) -> Any:
        """Give a copy, which nobody else holds; of single numbers, side by side with the one before."""
        a = self._a
        if not is_array(a):
            return a
        if a.ndim:
            return a.copy()
        place = self._room.next_place(a.dtype)
        copy_to(place, a)
        return place


class Room:
    """Places for single numbers, side by side."""

    def __init__(self) -> None:
        self._given = ROOM
        self._places: Any = None

    def next_place(self, dtype: Any) -> Any:
        """Give a place that was not given before."""
        if self._given == ROOM:
            self._given, self._places = 0, cupy.empty(ROOM, dtype)
        self._given += 1
        return self._places[self._given - 1]
