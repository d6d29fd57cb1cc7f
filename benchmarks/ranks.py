#!/usr/bin/env python3
"""A step of training on two ranks beside one on one: `mpiexec -n 2 python benchmarks/ranks.py`."""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from mpi4py import MPI

from xpnet import SGD, Adam, MultiLayerNet, fit, get_backend

OPTIMIZERS = {"sgd": SGD(0.01), "adam": Adam(0.001)}


def step_time(chosen: argparse.Namespace, comm: Any, steps: int) -> tuple[float, Any]:
    """Train for two epochs; give the milliseconds of a step in the second, and the network."""
    rng = np.random.default_rng(0)
    x = rng.random((steps * chosen.batch_size, chosen.sizes[0]), dtype=np.float32)
    t = rng.integers(0, chosen.sizes[-1], len(x))
    backend = get_backend(chosen.backend)
    first, *hidden, last = chosen.sizes
    net = MultiLayerNet(first, hidden, last, seed=0, dtype="float32", backend=backend)
    history = fit(net, backend.asarray(x), backend.asarray(t), optimizer=OPTIMIZERS[chosen.optimizer],
                  epochs=2, batch_size=chosen.batch_size, progress=False, comm=comm)
    weights = {name: np.asarray(backend.to_numpy(p)) for name, p in net.params.items()}
    return 1000 * chosen.batch_size / history.epochs[-1].samples_per_second, weights


def alone(chosen: argparse.Namespace, comm: Any, steps: int) -> tuple[float, Any]:
    """Train on rank 0 without the others, which sleep meanwhile."""
    found: tuple[float, Any] = 0.0, None
    if comm.rank == 0:
        found = step_time(chosen, None, steps)
    waiting = comm.Ibarrier()
    while not waiting.Test():
        time.sleep(0.005)
    return found


def main() -> None:
    """Measure in turns, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default=[784, 1024, 1024, 10],
                        type=lambda text: [int(size) for size in text.split("-")],
                        help="neurons of the layers (784-1024-1024-10)")
    parser.add_argument("--batch-size", type=int, default=512, help="of all ranks together (512)")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="sgd")
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--steps", type=int, default=20, help="of an epoch (20)")
    parser.add_argument("--rounds", type=int, default=15)
    chosen = parser.parse_args()
    world = MPI.COMM_WORLD
    _, one = alone(chosen, world, chosen.steps)
    _, all_together = step_time(chosen, world, chosen.steps)
    if world.rank == 0:
        for name, a in one.items():
            np.testing.assert_allclose(all_together[name], a, rtol=0, atol=1e-4 * np.abs(a).max())
    rounds = []
    for _ in range(chosen.rounds):
        single, _ = alone(chosen, world, chosen.steps)
        rounds.append((single, step_time(chosen, world, chosen.steps)[0]))
    if world.rank == 0:
        single, together = (statistics.median(times) for times in zip(*rounds, strict=True))
        ratio = statistics.median(s / t for s, t in rounds)
        print(f"{'-'.join(map(str, chosen.sizes))}, batch {chosen.batch_size}, {chosen.optimizer}, "
              f"{chosen.backend}: one process {single:.2f} ms a step, {world.size} ranks {together:.2f} ms; "
              f"{ratio:.2f} times as fast (median of {chosen.rounds} rounds in turns)", flush=True)


if __name__ == "__main__":
    main()
