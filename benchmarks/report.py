"""Timing in rounds, and tables of it."""

from __future__ import annotations

import datetime
import gc
import importlib.metadata
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

__all__ = ["Times", "compared", "interleaved", "machine", "quartiles", "ratios", "table", "unit_of"]

Times = dict[str, list[float]]
"""Seconds of each round, by the contender's name."""

LIBRARIES = ("numpy", "torch", "jax", "scikit-learn", "onnxruntime", "thinc", "dezero", "numba")


def interleaved(tasks: Mapping[str, Callable[[int], Callable[[], object]]], rounds: int) -> Times:
    """Time tasks in turns, so that whatever else the machine does falls on all of them.

    Parameters
    ----------
    tasks : mapping
        Each prepares a round, whose number it is given, and gives what is to be timed.
    rounds : int
        How often. Each round begins with another one.
    """
    times: Times = {name: [] for name in tasks}
    names = list(tasks)
    gc.collect()
    gc.disable()
    try:
        for k in range(rounds):
            for name in names[k % len(names):] + names[:k % len(names)]:
                run = tasks[name](k)
                start = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - start)
            gc.collect()
    finally:
        gc.enable()
    return times


def quartiles(values: Sequence[float]) -> list[float]:
    """Give the first quartile, the median and the third."""
    return statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else list(values) * 3


def ratios(times: Times, floor: str) -> dict[str, list[float]]:
    """Give the quartiles of the ratios to the floor's time in the same round."""
    return {name: quartiles([a / b for a, b in zip(seconds, times[floor], strict=True)])
            for name, seconds in times.items()}


def unit_of(seconds: float) -> str:
    """Give a time in a unit in which it is not short of digits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Give a table in Markdown, which is legible as it is."""
    lines = [head, *rows]
    widths = [max(len(line[k]) for line in lines) for k in range(len(head))]
    text = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
            for line in lines]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text)


def compared(times: Mapping[str, Times], floor: str) -> str:
    """Give a table of the contenders: ratios to the floor with quartiles, and times, of each work.

    The floor's quartiles are those of its times, which show how quiet the machine was.
    """
    rows = []
    for name in dict.fromkeys(name for each in times.values() for name in each):
        row = [name]
        for each in times.values():
            if name not in each:
                row += ["", "", ""]
                continue
            low, median, high = ratios(each, floor)[name]
            first, middle, third = map(unit_of, quartiles(each[name]))
            row += [f"{median:.2f}", f"{first} to {third}" if name == floor else f"{low:.2f} to {high:.2f}",
                    middle]
        rows.append(row)
    return table(["", *(cell for title in times for cell in (title, "quartiles", "time"))], rows)


def machine() -> str:
    """Say when, on what, with what, and by which command."""
    versions = [f"Python {platform.python_version()}"]
    for library in LIBRARIES:
        try:
            versions.append(f"{library} {importlib.metadata.version(library)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    load = f", load {os.getloadavg()[0]:.1f} when it began" if hasattr(os, "getloadavg") else ""
    script, options = Path(sys.argv[0]).resolve(), sys.argv[1:]
    if "--out" in options:  # where it goes is nobody else's concern
        at = options.index("--out")
        del options[at:at + 2]
    command = " ".join(["python", f"{script.parent.name}/{script.name}", *options])
    return (f"{datetime.date.today()}, {_processor()}, {os.cpu_count()} cores{load}; {', '.join(versions)}; "
            f"`{command}`")


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
