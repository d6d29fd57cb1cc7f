"""Vectors added up over all ranks, while this one computes something else."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

__all__ = ["Messages"]

BETWEEN_LOOKS = 0.01
"""Seconds between two looks, of a rank that waits, at whether another has failed."""
BETWEEN_TESTS = 0.0003
"""Seconds between two times that MPI is asked, and so gets on with its work, while the rank computes."""
RESTLESS = 0.001
"""Seconds for which a rank that waits asks MPI all the time. Another one may want the processor."""
NAP = 0.00005
"""Seconds between two times from then on."""

_never_done: list[Any] = []
"""What MPI may still write to after a rank has failed: it is held for as long as the process lives."""


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
    crowded : bool
        Whether more ranks than processors are on this machine: who waits then takes naps at once.
    over_network : bool
        Whether the ranks are on several machines. Then a thread asks MPI from time to time, while this rank
        computes: it works only when it is asked. On one machine there is nothing to wait for: all of the
        work is the processors', which would only change hands.
    """

    def __init__(self, comm: Any, check: Callable[[], None], crowded: bool, over_network: bool) -> None:
        self._comm, self._check, self._restless = comm, check, 0.0 if crowded else RESTLESS
        self._pending: dict[int, tuple[Any, NDArray[Any], NDArray[Any]]] = {}
        self._lock = threading.Lock()  # of the requests, for none of which two may ask at once
        self._some, self._over = threading.Event(), False
        self._thread: threading.Thread | None = None
        if over_network:
            self._thread = threading.Thread(target=self._get_on, daemon=True, name="xpnet messages")
            self._thread.start()

    def start(self, sent: NDArray[Any], received: NDArray[Any]) -> None:
        """Begin to add up a vector, into another one of its shape; all ranks do so in the same order.

        Both are held, and are not to be changed, until `finish`.
        """
        with self._lock:
            request = self._comm.Iallreduce(sent, received)
            self._pending[_address(received)] = request, sent, received
        self._some.set()

    def finish(self, received: NDArray[Any]) -> None:
        """Wait until a sum is there."""
        with self._lock:
            request, *_ = self._pending[_address(received)]
            self._wait(request)
            del self._pending[_address(received)]
            if not self._pending:
                self._some.clear()

    def now(self, call: Callable[..., Any], *buffers: Any) -> None:
        """Begin what a method of the communicator does without waiting, and wait until it is done."""
        with self._lock:
            request = call(*buffers)
            try:
                self._wait(request)
            except BaseException:
                _never_done.append((request, buffers))
                raise

    def close(self) -> None:
        """Let the thread end."""
        self._over = True
        self._some.set()
        if self._thread is not None:
            self._thread.join()
        _never_done.extend(self._pending.values())

    def _wait(self, request: Any) -> None:
        """Wait until a request is done, or another rank has failed."""
        began = now = time.perf_counter()
        next_look = began + BETWEEN_LOOKS
        while not request.Test():
            if now >= next_look:
                self._check()
                next_look = now + BETWEEN_LOOKS
            if now - began < self._restless:
                os.sched_yield()
            else:
                time.sleep(NAP)
            now = time.perf_counter()

    def _get_on(self) -> None:
        while self._some.wait() and not self._over:
            with self._lock:
                for request, *_ in self._pending.values():
                    request.Test()
            time.sleep(BETWEEN_TESTS)


def _address(a: NDArray[Any]) -> int:
    return int(a.__array_interface__["data"][0])
