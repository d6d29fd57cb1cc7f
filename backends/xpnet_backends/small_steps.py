"""One thread for small steps, for as long as anybody takes some: what the backends on a CPU have in common."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

__all__ = ["OneThread"]

SMALL = 2e8
"""Additions and multiplications that one thread does in about two milliseconds."""


class OneThread:
    """Lets a library compute with one thread, within `with`, if a step is little work.

    Of those who want it at the same time, the first sets it, and the last one sets it back.

    Parameters
    ----------
    limit : callable
        Sets it, and gives a function that sets it back.
    variables : sequence of str
        What the environment says of threads with `_NUM_THREADS` behind, which is left alone.
    """

    def __init__(self, limit: Callable[[], Callable[[], object]], *variables: str) -> None:
        self._limit, self._variables = limit, variables
        self._lock, self._users = threading.Lock(), 0
        self._back: Callable[[], object]

    def if_small(self, operations: float) -> AbstractContextManager[None]:
        """Give the context for steps of so many additions and multiplications."""
        said = any(os.environ.get(f"{name}_NUM_THREADS") for name in self._variables)
        return nullcontext() if said or operations >= SMALL else self._limited()

    @contextmanager
    def _limited(self) -> Iterator[None]:
        with self._lock:
            if not self._users:
                self._back = self._limit()
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._back()
