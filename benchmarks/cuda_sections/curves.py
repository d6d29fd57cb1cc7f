"""One seed, one curve: the losses of 500 steps on CuPy, against NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.cuda_sections.found import Found
from benchmarks.peers.xpnet_peers import step_of_fit
from xpnet import SGD, TwoLayerNet, get_backend, load_mnist
from xpnet.backend import Backend
from xpnet.training.batches import epoch_batches, first_counter
from xpnet.training.data import Data
from xpnet.training.step import first_carry, training_step

__all__ = ["run"]

TOLERANCES = {"float32": 1e-3, "float64": 1e-12}
"""What docs/decisions.md finds on other libraries, and a little more."""

BY = ("plain layers", "as fit trains")


def run(found: Found) -> None:
    """Compare, by the plain layers and by the step that `fit` takes."""
    digits, steps = load_mnist()[0], 60 if found.dry else 500
    backend, rows = get_backend("cuda"), []
    for dtype, tolerance in TOLERANCES.items():
        far, ends = dict.fromkeys(BY, 0.0), (0.0, 0.0)
        for seed in range(1 if found.dry else 3):
            found.stage(f"{dtype}, seed {seed}")
            right = curve(get_backend("numpy"), digits, seed, dtype, steps, plain=True)
            ends = right[0], right[-1]
            for by, before in far.items():
                losses = curve(backend, digits, seed, dtype, steps, plain=by == BY[0])
                far[by] = float(np.maximum(before, np.max(np.abs(losses / right - 1))))  # NaN stays
        if not ends[1] < 0.9 * ends[0]:
            raise SystemExit(f"too little is learnt for a comparison: {ends}")
        rows.append([dtype, *(f"{off:.1e}" for off in far.values()), f"{ends[0]:.3f} to {ends[1]:.3f}"])
        found.figure(dtype, far)
        worst = max(far.values())
        found.bar(dtype, worst <= tolerance, f"{worst:.1e}")
    found.table(["", *BY, "loss"], rows)
    found.note(f"The largest relative difference over {steps} steps of 784-50-10 (weights of 0.01, batch 100, "
               "learning rate 0.1, the digits that ship with xpnet); the worst of all seeds.")


def curve(backend: Backend, digits: Any, seed: int, dtype: str, steps: int, plain: bool) -> Any:
    """Train, and give the loss of each step."""
    x, t = map(backend.asarray, digits)
    network, optimizer = TwoLayerNet(784, 50, 10, seed=seed, backend=backend, dtype=dtype), SGD(0.1)
    step = training_step(network, optimizer, False) if plain else step_of_fit(network, optimizer, backend)
    carry = first_carry(network, optimizer, backend.asarray(first_counter(seed)))
    losses: list[Any] = []
    data, epoch = Data(backend, {"x": x, "t": t}), 0
    while len(losses) < steps:
        epoch += 1
        order = epoch_batches(len(x), 100, seed, epoch)[:steps - len(losses)]
        for batch in data.batches(order, 0):
            carry, loss = step(carry, *batch)
            losses.append(loss)
    return np.array([float(backend.to_numpy(loss)) for loss in losses])
