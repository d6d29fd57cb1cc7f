"""The processes that train together."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from xpnet._extras import import_extra
from xpnet.distributed import watcher
from xpnet.distributed.errors import RankError, describe, is_common
from xpnet.distributed.messages import Messages
from xpnet.distributed.watched import Watched

__all__ = ["Ranks"]

SETTLING = 5.0
"""Seconds in which all ranks should have heard that one has failed."""


class Ranks:
    """The processes that train together, of which this is one.

    To be used in a `with` block, from which all ranks go together: an exception in one becomes a `RankError`
    in the others, wherever they wait for it.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm, optional
        As `mpi4py.MPI.COMM_WORLD`; by default this process is alone.

    Attributes
    ----------
    rank, size : int
        The number of this process, from 0, and how many there are.
    local : int
        The number among those on this machine.
    sharing : int
        How many of these may compute on the same processors as this one, itself included.
    failure : RankError or None
        Why another rank has failed, once that is known here.
    """

    def __init__(self, comm: Any = None) -> None:
        if comm is not None and not hasattr(comm, "Iallreduce"):
            raise TypeError("comm wants to be a communicator of mpi4py, as mpi4py.MPI.COMM_WORLD; "
                            f"got {comm!r:.60}")
        self.rank: int = 0 if comm is None else comm.rank
        self.size: int = 1 if comm is None else comm.size
        self.local, self.sharing = 0, 1
        self.failure: RankError | None = None
        self._heard: dict[int, str] = {}
        self._sent: list[Any] = []
        self._closed = False
        if self.size > 1:
            self._comm, self._words = comm.Dup(), comm.Dup()
            places = comm.allgather((_machine(), _processors()))
            machine, own = places[self.rank]
            here = [r for r, (other, _) in enumerate(places) if other == machine]
            self.local = here.index(self.rank)
            self.sharing = sum(not own.isdisjoint(places[r][1]) for r in here)
            self._messages = Messages(self._comm, self.check, crowded=self.sharing > len(own),
                                      over_network=len(here) < self.size and _may_have_threads())
            self.start, self.finish = self._messages.start, self._messages.finish
            self._watched = Watched(self.rank, self.size, len(here) == self.size, self.broadcast)

    @classmethod
    def world(cls) -> Self:
        """Join all that `mpiexec` has started (extra `mpi`)."""
        return cls(import_extra("mpi4py.MPI", "training on several ranks", "mpi").COMM_WORLD)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self.settle(describe(error))
        self.close()

    def part(self, rows: int, rank: int | None = None) -> slice:
        """Give which of so many rows are this rank's, or another's: as many for each, but for one."""
        rank = self.rank if rank is None else rank
        return slice(rows * rank // self.size, rows * (rank + 1) // self.size)

    def gather(self, value: Any) -> list[Any]:
        """Give what each of the ranks has given here, as JSON knows it."""
        if self.size == 1:
            return [value]
        own = np.frombuffer(json.dumps(value).encode(), np.uint8)
        lengths = self._gathered(np.asarray([len(own)]))[:, 0]
        texts = self._gathered(np.resize(own, int(lengths.max())))
        return [json.loads(text[:length].tobytes()) for text, length in zip(texts, lengths, strict=True)]

    def broadcast(self, value: Any) -> Any:
        """Give what rank 0 has given here, as JSON knows it."""
        return value if self.size == 1 else self.gather(value if self.rank == 0 else None)[0]

    def first(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function on rank 0 alone, and give all ranks what it gave, as JSON knows it."""
        return self.broadcast(function(*args) if self.rank == 0 else None)

    def broadcast_array(self, a: NDArray[Any]) -> NDArray[Any]:
        """Give a copy of the array that rank 0 has given here; the others give one like it."""
        a = np.array(a, order="C")
        if self.size > 1 and a.size:
            self._messages.now(self._comm.Ibcast, a.reshape(-1).view(np.uint8))
        return a

    def gather_rows(self, a: NDArray[Any], rows: int) -> NDArray[Any] | None:
        """Give rank 0 the rows `(…, N, C)` of all ranks, each of which has its part of them.

        None on the others. A rank whose part is empty gives a row nevertheless, for the shape.
        """
        longest = -(-rows // self.size)
        own = np.zeros((*a.shape[:-2], longest, a.shape[-1]), a.dtype)
        part = self.part(rows)
        own[..., :part.stop - part.start, :] = a[..., :part.stop - part.start, :]
        every = np.empty((self.size, *own.shape), a.dtype) if self.rank == 0 else None
        self._messages.now(self._comm.Igather, own, every)
        if every is None:
            return None
        parts = [self.part(rows, rank) for rank in range(self.size)]
        return np.concatenate([e[..., :p.stop - p.start, :] for e, p in zip(every, parts, strict=True)], axis=-2)

    def add(self, numbers: list[int]) -> list[int]:
        """Add up whole numbers over all ranks."""
        if self.size == 1:
            return numbers
        total = np.empty(len(numbers), np.int64)
        self._messages.now(self._comm.Iallreduce, np.asarray(numbers, np.int64), total)
        return total.tolist()

    def check(self) -> None:
        """Raise a `RankError` if another rank has failed."""
        if self.size > 1:
            self._listen()
        if self.failure is not None:
            raise self.failure
        if said := self._heard.get(self.rank):
            raise RankError(f"this rank has failed before: {said}")

    def fail(self, cause: str) -> None:
        """Tell the other ranks that this one has failed, and why; or that it has heard that another has."""
        if self.size > 1 and self.rank not in self._heard:
            self._heard[self.rank] = "" if self.failure is not None else cause
            for rank in range(self.size):
                if rank != self.rank:
                    self._sent.append(self._words.isend((self.rank, self._heard[self.rank]), rank))

    def told(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Tell the others of an exception, unless they have it, too: what an `ExitStack` does at its end."""
        if error is not None and not is_common(error):
            self.fail(describe(error))

    def settle(self, cause: str) -> str | None:
        """Let all ranks come to an end after one has failed; give what this one is to say of it, if it is.

        Parameters
        ----------
        cause : str
            Why this rank ends.
        """
        if self.size == 1:
            return cause
        self.fail(cause)
        end = time.monotonic() + SETTLING
        while len(self._heard) < self.size and time.monotonic() < end:
            self._listen()
            time.sleep(0.001)
        causes = {rank: said for rank, said in sorted(self._heard.items()) if said}
        first = next(iter(causes), self.rank)
        text = causes.get(first, cause)
        if len(self._heard) < self.size or len({*causes.values()}) > 1 or len(causes) < self.size:
            text = f"rank {first}: {text}"
        return text if first == self.rank else None

    def abort(self, status: int) -> None:
        """End the others, if there are any that have not heard of the end."""
        if self.size > 1 and len(self._heard) < self.size:
            self._watched.close(watcher.THE_END)
            self._comm.Abort(status)

    def close(self) -> None:
        """Take leave of the others: what happens to this process is no longer their concern."""
        if self.size > 1 and not self._closed:
            self._closed = True
            self._watched.close(watcher.GOODBYE)
            self._messages.close()
            if not self._heard:  # else some of what was begun will never be done
                self._comm.Free()
                self._words.Free()

    def _listen(self) -> None:
        """Take note of what other ranks have said of their ends."""
        while self._words.iprobe():
            rank, said = self._words.recv()
            self._heard[rank] = said
            if said and self.failure is None:
                self.failure = RankError(f"rank {rank}: {said}")

    def _gathered(self, own: NDArray[Any]) -> NDArray[Any]:
        every = np.empty((self.size, *own.shape), own.dtype)
        self._messages.now(self._comm.Iallgather, np.ascontiguousarray(own), every)
        return every


def _machine() -> str:
    """Give what tells machines apart: several may have one name, and one several, as in containers."""
    with suppress(OSError):
        return f"{socket.gethostname()} {Path('/proc/sys/kernel/random/boot_id').read_text()}"
    return socket.gethostname()


def _processors() -> set[int]:
    """Give the numbers of the processors that this process may use."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {*range(os.cpu_count() or 1)}


def _may_have_threads() -> bool:
    """Tell whether threads may call MPI side by side."""
    MPI = sys.modules["mpi4py.MPI"]
    return bool(MPI.Query_thread() == MPI.THREAD_MULTIPLE)
