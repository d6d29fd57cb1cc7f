"""The book's gradient check, of all parameters, in float64."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

from benchmarks.cuda_sections.found import Found
from xpnet import TwoLayerNet, get_backend, load_mnist
from xpnet.testing import check_gradients

__all__ = ["run"]

REPEATS = 5


def run(found: Found) -> None:
    """Time the whole check, and the numerical gradient alone."""
    backend, hidden = get_backend("cuda"), 3 if found.dry else 50
    images, labels = load_mnist()[0]
    x, t = backend.asarray(images[:3], "float64"), backend.asarray(labels[:3])
    network = TwoLayerNet(784, hidden, 10, seed=0, backend=backend, dtype="float64")
    size = sum(int(np.prod(p.shape)) for p in network.params.values())
    verdicts = []

    def check() -> None:
        verdicts.append(check_gradients(network, x, t, mode="full").verdict)

    numerical: dict[str, Any] = {}

    def differences() -> None:
        numerical.update(network.numerical_gradient(x, t))
        backend.synchronize()

    rows, medians = [], {}
    for name, each in (("check_gradients, mode full", check), ("network.numerical_gradient", differences)):
        found.stage(name)
        first, *times = [_seconds(each) for _ in range(2 if found.dry else 1 + REPEATS)]
        medians[name] = statistics.median(times)
        found.figure(f"seconds of {name}", [first, *times], times=True)
        rows.append([name, f"{medians[name]:.3f} s", f"{first:.3f} s"])
    found.table(["", "median", "the first time"], rows, times=True)
    found.note(f"{size:,} parameters, {len(x)} images; by the clock on the host, as a check reads its results.")
    off = max(float(np.max(np.abs(backend.to_numpy(g - numerical[name]))))
              for name, g in network.gradient(x, t).items())
    found.bar("correct", set(verdicts) == {"correct"} and off <= 1e-6,
              f"{', '.join(sorted(set(verdicts)))}; the numerical gradient is {off:.1e} off at most")
    slowest = max(medians.values())
    found.bar("seconds", slowest <= 0.5, f"{slowest:.3f} s")


def _seconds(run: Any) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
