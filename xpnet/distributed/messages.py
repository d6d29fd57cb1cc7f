"""Vectors added up over all ranks, while this one computes something else."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

__all__ = ["Messages"]

BETWEEN_LOOKS = 0.01
"""Seconds between two looks, of a rank that waits, at whether another has failed."""


class Messages:
    """Sums over all ranks, several of which may be on their way.

    A rank that waits asks MPI again and again, instead of leaving the wait to it: so it hears if another
    rank has failed, for which MPI would wait for ever.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm
        The ranks, of which nobody else makes use.
    check : callable
        Raises an error if another rank has failed.
    """

    def __init__(self, comm: Any, check: Callable[[], None]) -> None:
        self._comm, self._check = comm, check
        self._pending: dict[int, tuple[Any, NDArray[Any], NDArray[Any]]] = {}

    def start(self, sent: NDArray[Any], received: NDArray[Any]) -> None:
        """Begin to add up a vector, into another one of its shape; all ranks do so in the same order.

        Both are held, and are not to be changed, until `finish`.
        """
        request = self._comm.Iallreduce(sent, received)
        self._pending[_address(received)] = request, sent, received

    def finish(self, received: NDArray[Any]) -> None:
        """Wait until a sum is there."""
        request, *_ = self._pending[_address(received)]
        self.wait(request)
        del self._pending[_address(received)]

    def wait(self, request: Any) -> None:
        """Wait until a request is done, or another rank has failed."""
        next_look = time.perf_counter() + BETWEEN_LOOKS
        while not request.Test():
            if time.perf_counter() >= next_look:
                self._check()
                next_look = time.perf_counter() + BETWEEN_LOOKS
            os.sched_yield()  # a rank that waits lets those compute that share its processor


def _address(a: NDArray[Any]) -> int:
    return int(a.__array_interface__["data"][0])
