"""Time on the device, in rounds that everybody takes part in."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.report import Times

__all__ = ["Clock", "cupy_events", "in_rounds", "torch_events", "wall_clock"]

Clock = Callable[[Callable[[], object]], float]
"""Runs what it is given, which waits for the device at its end, and gives the seconds that took."""


def wall_clock(run: Callable[[], object]) -> float:
    """Take the time on the host."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def cupy_events(run: Callable[[], object]) -> float:
    """Take the time between two of CuPy's events, on the current stream.

    What is run may use another stream: as it waits for the device, the second event comes after all of it.
    """
    import cupy
    start, end = cupy.cuda.Event(), cupy.cuda.Event()
    cupy.cuda.Device().synchronize()
    start.record()
    run()
    end.record()
    end.synchronize()
    return float(cupy.cuda.get_elapsed_time(start, end)) / 1e3


def torch_events(run: Callable[[], object]) -> float:
    """Take the time between two of PyTorch's events, on the current stream."""
    import torch
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    run()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1e3


def in_rounds(
    tasks: Mapping[str, Callable[[int], Callable[[], object]]], clocks: Mapping[str, Clock], rounds: int,
    budget: float, seen: Callable[[Times], Any] = lambda times: None,
) -> Times:
    """Time tasks in turns, so that whatever else the machine does, and its clock, falls on all of them.

    Parameters
    ----------
    tasks : mapping
        Each prepares a round, whose number it is given, and gives what is to be timed.
    clocks : mapping
        How to time each.
    rounds : int
        How often, at most. Each round begins with another one.
    budget : float
        Seconds after which no further round begins; three there are in any case.
    seen : callable, optional
        Is given what was measured so far, after each round.
    """
    times: Times = {name: [] for name in tasks}
    names, start = list(tasks), time.monotonic()
    gc.collect()
    gc.disable()
    try:
        for k in range(rounds):
            if k >= 3 and time.monotonic() - start > budget:
                break
            for name in names[k % len(names):] + names[:k % len(names)]:
                times[name].append(clocks[name](tasks[name](k)))
            gc.collect()
            seen(times)
    finally:
        gc.enable()
    return times
