"""`cupy.cuda.nccl`: sums over processes, each of which has a GPU, that really are added up, by way of MPI.

A sum is done as late as NCCL may do it, when something waits for it. What another process does not come to
keeps the device waiting, and what follows there with it, until the communicator is aborted.
"""
# ruff: noqa: D102, N802, methods are CuPy's, which documents them

from __future__ import annotations

import ctypes
import functools
import itertools
import os
import struct
import time
import weakref
from typing import Any

import numpy as np

from benchmarks.cuda_on_cpu.capture import captures, current, late_work, stuck, submit
from benchmarks.cuda_on_cpu.devices import Device
from benchmarks.cuda_on_cpu.memory import check_address
from benchmarks.cuda_on_cpu.streams import Graph, by_pointer

__all__ = ["NCCL_FLOAT32", "NCCL_FLOAT64", "NCCL_SUM", "PATIENCE", "NcclCommunicator", "NcclError", "available",
           "get_unique_id", "get_version"]

available = True
NCCL_FLOAT32, NCCL_FLOAT64, NCCL_SUM = 7, 8, 0
DTYPES: dict[int, np.dtype[Any]] = {NCCL_FLOAT32: np.dtype("f4"), NCCL_FLOAT64: np.dtype("f8")}
PATIENCE = [100.0]
"""Seconds after which another process is taken for one that does not come."""
ERRORS = {1: "NCCL_ERROR_UNHANDLED_CUDA_ERROR: unhandled cuda error", 4: "NCCL_ERROR_INVALID_ARGUMENT: invalid argument",
          5: "NCCL_ERROR_INVALID_USAGE: invalid usage"}
_counter = itertools.count(1)


class NcclError(RuntimeError):
    """What a function of NCCL answered."""

    def __init__(self, status: int) -> None:
        super().__init__(f"{ERRORS[status]} (run with NCCL_DEBUG=WARN for details)")
        self.status = status


def get_version() -> int:
    """Give the version of CuPy's wheels."""
    return 22707


def get_unique_id() -> bytes:
    """Give what tells those who meet with it where: whoever made it waits for the others."""
    world = _world()
    place = struct.pack("<qq", 0 if world is None else world.rank, next(_counter))
    return place + os.urandom(128 - len(place))


class NcclCommunicator:
    """The GPUs of some processes."""

    def __init__(self, ndev: int, commId: bytes, rank: int) -> None:
        if not isinstance(commId, bytes):
            raise TypeError(f"Argument 'commId' has incorrect type (expected bytes, got {type(commId).__name__})")
        assert len(commId) == 128
        self._size, self._rank, self._device = ndev, rank, current.device
        self._sent: list[Any] = []
        self._sums = itertools.count()
        self._graphs: weakref.WeakSet[Graph] = weakref.WeakSet()
        self._open = False
        device = Device().pci_bus_id
        found = [(rank, 0, device)]
        if ndev > 1:
            found = _met(ndev, commId, rank, device)
        if len({each[-1] for each in found}) < ndev:
            raise NcclError(5)
        if ndev > 1:
            world, (_, tag) = _world(), struct.unpack("<qq", commId[:16])
            self._comm = world.Create_group(world.group.Incl([each[1] for each in found]), tag)
        self._open = True

    def __del__(self) -> None:
        if self._open:
            self.destroy()

    def destroy(self) -> None:
        """End it; NCCL does so when all graphs that make use of it have ended."""
        if self._graphs:
            raise RuntimeError("NCCL would wait for ever: a graph is still there in which this communicator takes part")
        self._open = False

    def abort(self) -> None:
        """End it, and what is under way."""
        late_work.forget(self)
        stuck.discard(self._device)
        self.destroy()

    def check_async_error(self) -> None:
        if not self._open:
            raise NcclError(4)

    def rank_id(self) -> int:
        return self._rank

    def size(self) -> int:
        return self._size

    def device_id(self) -> int:
        return self._device

    def allReduce(self, sendbuf: int, recvbuf: int, count: int, datatype: int, op: int, stream: int) -> None:
        """Add up a vector over all processes, on a stream."""
        if not self._open or datatype not in DTYPES or op != NCCL_SUM or count < 0:
            raise NcclError(4)
        size = count * DTYPES[datatype].itemsize
        captured = stream in captures
        for address in (sendbuf, recvbuf) if count else ():
            check_address(address, size)  # NCCL's error for it, and for a stream of another device, is CUDA's
        on = by_pointer.get(stream)
        if on is None or on.device_id not in (-1, self._device):
            raise NcclError(1)
        run = functools.partial(self._add, sendbuf, recvbuf, count, datatype, captured,
                                graphs=[self._graphs] if captured else [])
        submit("KERNEL", "ncclDevKernel_AllReduce_Sum_RING_LL", run, stream,
               late=on.is_non_blocking and stream != current.stream)

    def _add(self, sendbuf: int, recvbuf: int, count: int, datatype: int, captured: bool, *, graphs: Any) -> None:
        if self._device in stuck:
            return
        dtype = DTYPES[datatype]
        if not captured and count:  # a graph's memory is its owner's affair
            for address in (sendbuf, recvbuf):
                check_address(address, count * dtype.itemsize)
        own = np.frombuffer(ctypes.string_at(sendbuf, count * dtype.itemsize), dtype)
        total = np.zeros_like(own)
        for rank, (other, a) in enumerate(self._exchanged((count, datatype, captured), own)):
            if a is None:
                stuck.add(self._device)
                return
            if other != (count, datatype, captured):
                raise RuntimeError(f"NCCL would hang, or add up what does not belong together: rank {self._rank} has "
                                   f"{(count, datatype, captured)}, and rank {rank} {other}")
            total += a
        ctypes.memmove(recvbuf, total.ctypes.data, total.nbytes)

    def _exchanged(self, what: Any, own: np.ndarray[Any, Any]) -> list[tuple[Any, Any]]:
        """Give what each process has to add, and what that is; None for one that does not come."""
        number = next(self._sums) % 2**15
        others = [rank for rank in range(self._size) if rank != self._rank]
        self._sent = [request for request in self._sent if not request.Test()]
        self._sent += [self._comm.isend((what, own), rank, number) for rank in others]
        return [(what, own) if rank == self._rank else _received(self._comm, rank, number) or (None, None)
                for rank in range(self._size)]


def _world() -> Any:
    try:
        from mpi4py import MPI
    except ImportError:
        return None
    return MPI.COMM_WORLD


def _met(size: int, name: bytes, rank: int, device: str) -> list[tuple[int, int, str]]:
    """Give the ranks, who they are for MPI, and their devices."""
    from mpi4py import MPI

    world, (root, tag) = _world(), struct.unpack("<qq", name[:16])
    own, first = (rank, world.rank, device), (rank, world.rank)
    if world.rank != root:
        world.send(own, root, tag)
        found: list[tuple[int, int, str]] = _received(world, root, tag)
        return found
    found = sorted([own, *(_received(world, MPI.ANY_SOURCE, tag) for _ in range(size - 1))])
    for each in found:
        if each[:2] != first:
            world.send(found, each[1], tag)
    return found


def _received(comm: Any, rank: int, tag: int) -> Any:
    """Wait for a message; give None if it does not come."""
    end = time.monotonic() + PATIENCE[0]
    for turn in itertools.count():
        if (message := comm.improbe(rank, tag)) is not None:
            return message.recv()
        if time.monotonic() > end:
            return None
        time.sleep(0 if turn < 1000 else 0.001)
    return None
