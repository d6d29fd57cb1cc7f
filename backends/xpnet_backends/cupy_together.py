"""What graphs have to do with sums over processes: who takes part in one, and how it is waited for."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

__all__ = ["open_sums", "synchronize", "take_part", "taking_part"]

_taking_part: ContextVar[list[Any] | None] = ContextVar("taking_part", default=None)
open_sums: weakref.WeakSet[Any] = weakref.WeakSet()
"""Those by which something on this process's GPU may wait for other processes."""


@contextmanager
def taking_part() -> Iterator[list[Any]]:
    """Give those that take part in what is computed within `with`."""
    found: list[Any] = []
    token = _taking_part.set(found)
    try:
        yield found
    finally:
        _taking_part.reset(token)


def take_part(who: Any) -> None:
    """Say that one takes part in what is computed now, and has to outlast the graph that it becomes."""
    found = _taking_part.get()
    if found is not None and who not in found:
        found.append(who)


def synchronize(stream: Any) -> None:
    """Wait for a stream, or until one of the processes has failed for which it waits."""
    if open_sums:
        next(iter(open_sums)).wait_for(stream)
    else:
        stream.synchronize()
