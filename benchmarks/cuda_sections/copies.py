"""Copies between host and device, counted while something is run."""

from __future__ import annotations

import collections
import importlib
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Copies", "copies_in", "copies_of"]


class Copies(NamedTuple):
    """What was copied."""

    to_host: int
    """How often."""
    bytes_to_host: int | None
    """None if whoever counted does not know."""
    to_device: int | None
    counted_by: str


def copies_in(run: Callable[[], object], dry: bool) -> Copies:
    """Run something, and count.

    On a GPU, PyTorch's profiler sees all that this process copies, whoever does it. CuPy has nothing of
    the kind: without PyTorch, the calls of `cupy.asnumpy` are counted, which is what the backend calls, and
    what CuPy does within, as for `float(x)`, is not seen.
    """
    if dry:
        counter = importlib.import_module("benchmarks.cuda_on_cpu").host_copies
        before = int(counter)
        with _counting_calls() as calls:
            run()
        seen = int(counter) - before
        if not 0 < calls["asnumpy"] <= seen:
            raise SystemExit(f"{calls['asnumpy']} of {seen} copies are counted without the stand-in")
        return Copies(seen, None, None, "the stand-in for CuPy")
    try:
        torch = importlib.import_module("torch")
        profiled = torch.cuda.is_available()
    except Exception:  # noqa: BLE001  PyTorch is not there, or broken
        profiled = False
    if profiled:
        copies = _profiled(torch, run)
        if copies is not None:
            return copies
    with _counting_calls() as calls:
        run()
    return Copies(calls["asnumpy"], None, None, "calls of cupy.asnumpy alone")


def _profiled(torch: Any, run: Callable[[], object]) -> Copies | None:
    """Count by PyTorch's profiler; None if it sees nothing at all, as without a right to."""
    torch.zeros(1, device="cuda")
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        with torch.profiler.profile(activities=activities) as profile:
            run()
            torch.cuda.synchronize()
        profile.export_chrome_trace(str(file))
        events = json.loads(file.read_text())["traceEvents"]
    return copies_of(events)


def copies_of(events: list[dict[str, Any]]) -> Copies | None:
    """Count the copies in a trace of PyTorch's profiler; None if there is nothing of a GPU in it at all."""
    if not any(event.get("cat") in ("kernel", "gpu_memcpy") for event in events):
        return None
    count: collections.Counter[str] = collections.Counter()
    size: collections.Counter[str] = collections.Counter()
    for event in events:
        if event.get("cat") == "gpu_memcpy":
            way = event["name"].split()[1]  # "Memcpy DtoH (Device -> Pageable)"
            count[way] += 1
            size[way] += int(event.get("args", {}).get("bytes", 0))
    return Copies(count["DtoH"], size["DtoH"], count["HtoD"], "PyTorch's profiler")


@contextmanager
def _counting_calls() -> Iterator[collections.Counter[str]]:
    """Count the calls of `cupy.asnumpy`, which are those of the backend, too."""
    import cupy
    calls: collections.Counter[str] = collections.Counter()
    asnumpy = cupy.asnumpy

    def counted(*args: Any, **keywords: Any) -> Any:
        calls["asnumpy"] += 1
        return asnumpy(*args, **keywords)

    cupy.asnumpy = counted
    try:
        yield calls
    finally:
        cupy.asnumpy = asnumpy
