"""Memory: how much training takes beside PyTorch, whether it stays so, and what is said when it is short."""

from __future__ import annotations

import importlib
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cupy
import numpy as np

from benchmarks.cuda_sections.found import Found
from benchmarks.work import Work
from xpnet import SGD, History, TwoLayerNet, fit, get_backend
from xpnet.training import Checkpoints

__all__ = ["run"]

EPOCHS, MB = 5, 1e6
HIDDEN = 1024


def run(found: Found) -> None:
    """Measure, and then let an allocation fail."""
    _steady(found)
    _short(found)


def _steady(found: Found) -> None:
    """Train some epochs, and look at the pool after each."""
    hidden, rows, batch = (16, 1000, 100) if found.dry else (HIDDEN, 60_000, 1000)
    backend, pool = get_backend("cuda"), cupy.get_default_memory_pool()
    x, t = data(rows, backend)
    network = TwoLayerNet(784, hidden, 10, "he", seed=0, backend=backend)
    backend.synchronize()
    cupy.get_default_memory_pool().free_all_blocks()
    before, free = pool.used_bytes(), cupy.cuda.runtime.memGetInfo()[0]
    after: list[tuple[int, int, int]] = []

    def look(network: object, history: object) -> None:
        backend.synchronize()
        after.append((pool.used_bytes() - before, pool.total_bytes(),
                      free - cupy.cuda.runtime.memGetInfo()[0]))

    found.stage("xpnet")
    fit(network, x, t, optimizer=SGD(0.01), epochs=EPOCHS, batch_size=batch, progress=False, callbacks=[look])
    found.figure("bytes after each epoch", [
        dict(zip(("used beyond the data", "held by the pool", "gone from the GPU"), each, strict=True))
        for each in after])
    table = [["xpnet on CuPy", f"{max(gone for *_, gone in after) / MB:.1f} MB",
              *(f"{gone / MB:.1f} MB" for *_, gone in after)]]
    if (theirs := _of_torch(found, hidden, rows, batch)) is not None:
        found.figure("bytes of PyTorch at most", theirs)
        table.append(["PyTorch", f"{theirs / MB:.1f} MB", *[""] * EPOCHS])
    found.table(["", "at most", *(f"after epoch {k}" for k in range(1, EPOCHS + 1))], table)
    found.note(f"784-{hidden}-10, {rows:,} rows, batch {batch}: what training takes of the GPU beyond rows and "
               "weights, with what the allocators of both hold back, their libraries' own memory, and kernels that are "
               "loaded.")
    grown = [last - first for first, last in zip(after[0], after[-1], strict=True)]
    found.bar("steady", max(grown) <= 1e6,
              f"{grown[2] / MB:+.1f} MB of the GPU, {grown[1] / MB:+.1f} in the pool, {grown[0] / MB:+.1f} in use")


def _of_torch(found: Found, hidden: int, rows: int, batch: int) -> int | None:
    """Train as much in PyTorch, and give the bytes that took beyond rows and weights."""
    found.stage("PyTorch")
    try:
        peers = importlib.import_module("benchmarks.peers.cuda_torch_peers")
        work = Work((784, hidden, 10), batch, "SGD", steps=1, lr=0.01, rows=rows)
        peer = peers.Torch(work, peers.device(found.dry))
    except Exception as error:  # noqa: BLE001  it is not there, or broken
        found.note(f"Left out: PyTorch: {type(error).__name__}: {error}.")
        return None
    before = cupy.cuda.runtime.memGetInfo()[0]
    peer.train(peer.place(work.batches(0, 3 if found.dry else rows // batch)))
    if found.dry:
        found.note("PyTorch's memory is not measured in a dry run.")
        return None
    return int(before - cupy.cuda.runtime.memGetInfo()[0])


def _short(found: Found) -> None:
    """Let the pool be full in the third epoch: see what is said, and go on from the checkpoint."""
    backend, pool = get_backend("cuda"), cupy.get_default_memory_pool()
    x, t = data(1000 if found.dry else 60_000, backend)

    def go(callback: Callable[[Any, History], object] | None = None, **keywords: Any) -> History:
        network = TwoLayerNet(784, 50, 10, "he", seed=0, backend=backend)
        return fit(network, x, t, optimizer=SGD(0.1), epochs=4, batch_size=100, progress=False,
                   callbacks=[callback] if callback else [], **keywords)

    def fill(network: object, history: History) -> None:
        if len(history.epochs) == 2:
            pool.free_all_blocks()
            pool.set_limit(size=pool.total_bytes())
            size = 1 << 30
            while size >= 512:  # the least that the pool gives: then there is nothing left
                try:
                    held.append(cupy.empty(size, np.uint8))
                except cupy.cuda.memory.OutOfMemoryError:
                    size //= 2

    found.stage("an allocation that fails")
    right = go()
    with tempfile.TemporaryDirectory() as folder:
        held: list[Any] = []
        said = "nothing was said"
        try:
            go(fill, checkpoints=Checkpoints(Path(folder), seconds=0))
        except MemoryError as error:
            said = f"{type(error).__name__}: {error}"
        finally:
            pool.set_limit(size=0)
            held.clear()
        found.figure("said", said)
        numbers = re.findall(r"\d[\d,.]* (?:bytes|[KMG]i?B)", said)
        found.bar("words", said.startswith("DeviceMemoryError") and "free" in said and len(numbers) >= 2, f'"{said}"')
        found.stage("going on from the checkpoint")
        history = go(checkpoints=Checkpoints(Path(folder), seconds=0), resume=True)
    off = max(abs(a.loss / b.loss - 1) for a, b in zip(history.epochs, right.epochs, strict=True))
    found.bar("checkpoint", off <= 1e-5, f"four epochs, with losses {off:.1e} off those of a run that was not short")


def data(rows: int, backend: Any) -> tuple[Any, Any]:
    """Draw rows and labels, on the device."""
    rng = np.random.default_rng(0)
    return backend.asarray(rng.random((rows, 784), np.float32)), backend.asarray(rng.integers(0, 10, rows))
