"""What each rank measures: run by `rank_networks_probe.py` under mpiexec, it leaves JSON.

Times of non-blocking sums over all ranks, of round trips, and of training steps' products with a sum beside them.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

Array = NDArray[np.float32]
Step = Callable[[], None]

SIZES = (1, 1000, 10_000, 100_000, 1_000_000, 1_900_000)
"""Elements, float32."""
ELEMENTS = 1_863_690
"""Parameters of 784-1024-1024-10: 7.45 MB."""
PAUSES = (1e-4, 3e-4, 1e-3)
"""Seconds that a thread sleeps between two looks at the sum."""
SECONDS = 0.4
"""For each size in each round, at most, but for three times."""

world = MPI.COMM_WORLD
alone = world.size <= (os.cpu_count() or 1)


def finish(request: MPI.Request) -> None:
    """Look after a sum until it is there, and let others at the processor if there are not enough."""
    while not request.Test():
        if not alone:
            os.sched_yield()


def slowest(step: Step) -> float:
    """Give the seconds from when the last rank has begun until the last one is done.

    All have one clock, since all are on one machine. A barrier lets them go one delay after the other.
    """
    world.Barrier()
    start = time.perf_counter()
    step()
    end = time.perf_counter()
    return world.allreduce(end, MPI.MAX) - world.allreduce(start, MPI.MAX)


def sums() -> dict[str, list[float]]:
    """Time a sum of each size."""
    times: dict[str, list[float]] = {}
    for size in SIZES:
        own, total = np.ones(size, np.float32), np.empty(size, np.float32)

        def step(own: Array = own, total: Array = total) -> None:
            finish(world.Iallreduce(own, total))

        slowest(step)
        expected = slowest(step)
        count = int(min(max(3, SECONDS / expected), 200))
        times[str(size)] = [slowest(step) for _ in range(world.bcast(count))]
        assert total[0] == total[-1] == world.size
    return times


def round_trips() -> list[float]:
    """Time a byte from rank 0 to rank 1 and back."""
    byte, times = bytearray(1), []
    for _ in range(51):
        world.Barrier()
        start = time.perf_counter()
        if world.rank == 0:
            world.Send(byte, 1)
            world.Recv(byte, 1)
        elif world.rank == 1:
            world.Recv(byte, 0)
            world.Send(byte, 0)
        times.append(time.perf_counter() - start)
    return times[1:]


class Looker(threading.Thread):
    """Looks after sums beside the main thread."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.begun, self.done = threading.Semaphore(0), threading.Semaphore(0)
        self.task: Step | None = None
        self.start()

    def run(self) -> None:
        """Do tasks until there is none."""
        while True:
            self.begun.acquire()
            if self.task is None:
                return
            self.task()
            self.done.release()

    def give(self, task: Step | None) -> None:
        """Begin a task."""
        self.task = task
        self.begun.release()


class TrainingStep:
    """The eight products of a step of 784-1024-1024-10, and a sum of its 7.45 MB begun on the way.

    The sum begins before the last three products of the backward, with 39% of all products to come.
    """

    def __init__(self, batch: int) -> None:
        rng = np.random.default_rng(0)
        W1, W2, W3 = (rng.random(shape, np.float32) for shape in ((784, 1024), (1024, 1024), (1024, 10)))
        x, h, y = (rng.random((batch, size), np.float32) for size in (784, 1024, 10))
        self.first = [(x, W1), (h, W2), (h, W3), (h.T, y), (y, W3.T), (h.T, h)]
        self.last = [(h, W2.T), (x.T, h)]
        self.results = {(a.shape, b.shape): np.empty((len(a), b.shape[1]), np.float32)
                        for a, b in self.first + self.last}
        self.own, self.total = np.ones(ELEMENTS, np.float32), np.empty(ELEMENTS, np.float32)
        self.looker = Looker()
        self.over = False

    def products(self, pairs: list[tuple[Array, Array]], between: Callable[[], object] | None = None) -> None:
        """Multiply, into memory that is there."""
        for a, b in pairs:
            np.matmul(a, b, out=self.results[a.shape, b.shape])
            if between is not None:
                between()

    def begin(self) -> MPI.Request:
        """Begin the sum."""
        return world.Iallreduce(self.own, self.total)

    def alone(self) -> None:
        """Only the products."""
        self.products(self.first + self.last)

    def one_after_the_other(self) -> None:
        """Multiply, then sum."""
        self.alone()
        finish(self.begin())

    def begun(self) -> None:
        """Look for the sum at the end only."""
        self.products(self.first)
        request = self.begin()
        self.products(self.last)
        finish(request)

    def between(self) -> None:
        """Look for it between the products, once each."""
        self.products(self.first)
        request = self.begin()
        self.products(self.last, between=request.Test)
        finish(request)

    def beside(self, pause: float) -> Step:
        """Let a thread look for it every now and then, and the main thread at the end."""
        def step() -> None:
            self.products(self.first)
            request = self.begin()
            self.over = False

            def look() -> None:
                while not self.over and not request.Test():
                    time.sleep(pause)

            self.looker.give(look)
            self.products(self.last)
            self.over = True
            self.looker.done.acquire()
            finish(request)
        return step

    def blocking(self) -> None:
        """Let a thread wait in the blocking sum."""
        self.products(self.first)
        self.looker.give(lambda: world.Allreduce(self.own, self.total))
        self.products(self.last)
        self.looker.done.acquire()


def steps(batch: int, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Time a training step's products and sum in all ways, in turns; also the processor's time of rank 0."""
    step = TrainingStep(batch)
    ways: dict[str, Step] = {
        "products alone": step.alone, "sum alone": lambda: finish(step.begin()),
        "one after the other": step.one_after_the_other, "begun, looked for at the end": step.begun,
        "looked for between products": step.between,
        **{f"by a thread every {pause * 1e3:g} ms": step.beside(pause) for pause in PAUSES},
        "a thread in Allreduce": step.blocking}
    times: dict[str, list[float]] = {name: [] for name in ways}
    used: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for k in range(rounds + 1):
        for name in names[k % len(names):] + names[:k % len(names)]:
            before = time.process_time()
            seconds = slowest(ways[name])
            if k:
                times[name].append(seconds)
                used[name].append(time.process_time() - before)
    step.looker.give(None)
    return {"seconds": times, "processor": used}


def adding() -> list[float]:
    """Time the addition of two vectors of a step's size, as a sum does on the processor."""
    a, b = np.ones(ELEMENTS, np.float32), np.ones(ELEMENTS, np.float32)
    times = []
    for _ in range(10):
        start = time.perf_counter()
        np.add(a, b, out=a)
        times.append(time.perf_counter() - start)
    return times


def main() -> None:
    """Measure, and let rank 0 write."""
    file, rounds, batches = Path(sys.argv[1]), int(sys.argv[2]), [int(word) for word in sys.argv[3:]]
    found: dict[str, object] = {"sums": sums(), "adding": adding(),
                                "round trips": round_trips() if world.size > 1 else []}
    found["steps"] = {str(batch): steps(batch, rounds) for batch in batches}
    if world.rank == 0:
        file.write_text(json.dumps(found))


main()
