"""How many threads compute a step, for as long as anybody takes some: what the backends on a CPU have in common."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

__all__ = ["Threads", "processors"]

SMALL = 2e8
"""Additions and multiplications that one thread does in about two milliseconds."""


class Threads:
    """Lets a library compute with few threads, within `with`: with one if a step is little work.

    Of those who want it at the same time, the first sets how many, and the last one sets it back.

    Parameters
    ----------
    limit : callable
        Sets a number of threads, and gives a function that sets it back.
    variables : sequence of str
        What the environment says of threads with `_NUM_THREADS` behind, which is left alone.
    """

    def __init__(self, limit: Callable[[int], Callable[[], object]], *variables: str) -> None:
        self._limit, self._variables = limit, variables
        self._lock, self._users = threading.Lock(), 0
        self._back: Callable[[], object]

    def suiting(self, operations: float, processes: int = 1) -> AbstractContextManager[None]:
        """Give the context for steps of so many additions and multiplications.

        So many processes share the processors; each has its part of them.
        """
        said = any(os.environ.get(f"{name}_NUM_THREADS") for name in self._variables)
        if said or (operations >= SMALL and processes == 1):
            return nullcontext()
        return self._limited(1 if operations < SMALL else max(1, processors() // processes))

    @contextmanager
    def _limited(self, threads: int) -> Iterator[None]:
        with self._lock:
            if not self._users:
                self._back = self._limit(threads)
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._back()


def processors() -> int:
    """Tell how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
