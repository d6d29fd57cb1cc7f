"""Vectors added up over processes, on CuPy: by NCCL, on a stream of its own, while the step goes on."""

from __future__ import annotations

import socket
import threading
import time
import warnings
import weakref
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import cupy

from xpnet_backends.cupy_together import open_sums, take_part

__all__ = ["CupySums"]

BETWEEN_LOOKS = 0.01
"""Seconds between two looks, of a process that waits, at whether another has failed."""
BETWEEN_QUESTIONS = 1e-4
"""Seconds between two questions to the GPU."""
NOT_READY = 600
"""cudaErrorNotReady."""
ENDING = 10.0
"""Seconds in which NCCL should have ended; after that it is left to itself."""


class CupySums:
    """See `xpnet.Backend.sums`.

    A sum is begun by an event of the current stream, and ended by one of the stream of its own, so that it can
    be captured in a graph. NCCL waits for ever for a process that does not come: whoever waits for the GPU
    here asks it again and again, and hears in between of failures.

    Parameters
    ----------
    messages : xpnet._sums.Messages
        By which the processes find each other, and hear that one has failed.
    device : cupy.cuda.Device
        This process's, and no other one's.
    """

    def __init__(self, messages: Any, device: Any) -> None:
        self._messages, self._device = messages, device
        nccl = _nccl()
        self._sum = nccl.NCCL_SUM
        self._dtypes = {"f": nccl.NCCL_FLOAT32, "d": nccl.NCCL_FLOAT64}
        self._under_way: dict[int, tuple[Any, ...]] = {}
        self._programs: weakref.WeakSet[Any] = weakref.WeakSet()
        _check_devices(messages.gather([socket.gethostname(), device.pci_bus_id]))
        # Bytes since CuPy 14, before that numbers, which JSON knows.
        made = nccl.get_unique_id() if messages.rank == 0 else None
        kind, numbers = messages.broadcast(made and [type(made).__name__, list(made)])
        name = {"bytes": bytes, "tuple": tuple}[kind](numbers)
        with device:
            self._stream = cupy.cuda.Stream(non_blocking=True)
        self._communicator: Any = self._apart(
            lambda: nccl.NcclCommunicator(messages.size, name, messages.rank), messages.check)
        open_sums.add(self)

    def start(self, flat: Any) -> Any:
        """Begin to add up a vector, of 32 or 64 bits; it is held as well, as is what it becomes."""
        if flat.dtype.char not in self._dtypes:
            raise TypeError(f"sums over processes want float32 or float64; got {flat.dtype}")
        take_part(self)
        flat = cupy.ascontiguousarray(flat)
        total = cupy.empty_like(flat)
        begun, done = (cupy.cuda.Event(disable_timing=True) for _ in range(2))
        begun.record(cupy.cuda.get_current_stream())
        self._stream.wait_event(begun)
        self._communicator.allReduce(flat.data.ptr, total.data.ptr, flat.size, self._dtypes[flat.dtype.char],
                                     self._sum, self._stream.ptr)
        done.record(self._stream)
        started = flat, total, done
        self._under_way[id(total)] = started  # after an error as well: NCCL may yet write there
        return started

    def finish(self, started: Any) -> Any:
        """Give the sum."""
        _, total, done = started
        cupy.cuda.get_current_stream().wait_event(done)
        del self._under_way[id(total)]
        return total

    def wait(self) -> None:
        """Wait until the GPU has done what it was asked, or another process has failed."""
        with self._device:
            self.wait_for(cupy.cuda.get_current_stream())

    def wait_for(self, stream: Any) -> None:
        """Wait for a stream; if a process has failed, end NCCL, and with it what is under way."""
        event = cupy.cuda.Event(disable_timing=True)
        event.record(stream)
        next_look = time.perf_counter() + BETWEEN_LOOKS
        try:
            while cupy.cuda.runtime.eventQuery(event.ptr) == NOT_READY:
                if time.perf_counter() >= next_look:
                    self._messages.check()
                    self._communicator.check_async_error()
                    next_look = time.perf_counter() + BETWEEN_LOOKS
                time.sleep(BETWEEN_QUESTIONS)
            event.synchronize()  # raises what went wrong on the GPU
        except BaseException:
            self.close(whole=False)
            raise

    def captured_in(self, program: Any) -> None:
        """Take note of graphs in which this takes part: `program.drop()` ends them."""
        self._programs.add(program)

    def agree(self, well: bool) -> bool:
        """Tell whether all is well in all processes."""
        return all(self._messages.gather(well))

    def close(self, whole: bool) -> None:
        """End NCCL, and before that the graphs in which it takes part: it would wait for them."""
        communicator, self._communicator = self._communicator, None
        open_sums.discard(self)
        if communicator is not None:
            for program in self._programs:
                program.drop()
            self._apart(communicator.destroy if whole else communicator.abort, lambda: None, ENDING)

    def _apart(self, call: Callable[[], Any], look: Callable[[], None], limit: float = float("inf")) -> Any:
        """Call what may wait for other processes in a thread, and leave it there if that takes too long."""
        found: list[Any] = []
        failed: list[BaseException] = []

        def run() -> None:
            try:
                with self._device:
                    found.append(call())
            except BaseException as error:  # noqa: BLE001  raised below
                failed.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        end = time.perf_counter() + limit
        while thread.is_alive() and time.perf_counter() < end:
            thread.join(BETWEEN_LOOKS)
            look()
        if failed:
            raise failed[0]
        return found[0] if found else None


def _nccl() -> Any:
    """Find NCCL, which comes apart from CuPy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CuPy's words for what is said below
        from cupy.cuda import nccl
    if not nccl.available:
        raise ValueError("CuPy finds no NCCL, by which GPUs add up: "
                         f"pip install nvidia-nccl-cu{cupy.cuda.runtime.runtimeGetVersion() // 1000}")
    return nccl


def _check_devices(places: list[list[str]]) -> None:
    """Refuse two ranks on one GPU: NCCL would say something else, or nothing."""
    ranks = defaultdict(list)
    for rank, place in enumerate(places):
        ranks[*place].append(rank)
    for (machine, device), those in ranks.items():
        if len(those) > 1:
            raise ValueError(f"NCCL wants a GPU for each rank; ranks {' and '.join(map(str, those))} have the same, "
                             f"{device} of {machine}: start as many ranks as there are GPUs, each on its own, as "
                             "cuda:0, cuda:1, …")
