"""A second GPU, where there is one."""

from __future__ import annotations

from collections.abc import Callable

import cupy
import numpy as np

from benchmarks.cuda_sections.found import Found
from xpnet import SGD, TwoLayerNet, fit, get_backend

__all__ = ["run"]


def run(found: Found) -> None:
    """Train on each of two GPUs, and mix their arrays."""
    count = cupy.cuda.runtime.getDeviceCount()
    found.figure("count", count)
    said = refused(lambda: get_backend(f"cuda:{count}"), ValueError)
    found.bar("number", said is not None and f"cuda:{count - 1}" in said, f'"{said}"')
    if count < 2:
        for bar in ("second", "mixed"):
            found.bar(bar, None, "one GPU")
        found.note("Unverified: one GPU. With two or more, training on the second and arrays of both are tried.")
        return
    access = [[i == j or bool(cupy.cuda.runtime.deviceCanAccessPeer(i, j)) for j in range(count)]
              for i in range(count)]
    found.figure("peer access", access)
    rng = np.random.default_rng(0)
    x, t = rng.random((600, 784), np.float32), rng.integers(0, 10, 600)
    losses = []
    for device in ("cpu", "cuda:1", "cuda:0"):
        found.stage(device)
        backend = get_backend(device)
        network = TwoLayerNet(784, 50, 10, "he", seed=0, backend=backend)
        history = fit(network, backend.asarray(x), backend.asarray(t), optimizer=SGD(0.1), epochs=2, batch_size=100,
                      progress=False)
        losses.append([epoch.loss for epoch in history.epochs])
        where = {int(p.device) for p in network.params.values()} if device != "cpu" else {0}
        if where != {int(device[-1:]) if device != "cpu" else 0}:
            raise SystemExit(f"parameters of {device} lie on {where}")
    off = float(np.max(np.abs(np.array(losses[1:]) / np.array(losses[0]) - 1)))
    found.bar("second", off <= 1e-4, f"losses on cuda:0 and cuda:1 are {off:.1e} off NumPy's at most")
    network = TwoLayerNet(784, 50, 10, seed=0, backend="cuda:0")
    other = get_backend("cuda:1")
    said = refused(lambda: fit(network, other.asarray(x), other.asarray(t), optimizer=SGD(0.1), epochs=1,
                               batch_size=100, progress=False), (ValueError, TypeError))
    found.bar("mixed", said is not None, f'"{said}"')
    pairs = ", ".join(f"{i} → {j}" for i, row in enumerate(access) for j, can in enumerate(row) if i != j and can)
    found.note(f"{count} GPUs; with access to each other's memory: {pairs or 'none'}.")


def refused(call: Callable[[], object], errors: type[Exception] | tuple[type[Exception], ...]) -> str | None:
    """Give the words in which a call is refused; None if it is not."""
    try:
        call()
    except errors as error:
        return str(error)
    return None
