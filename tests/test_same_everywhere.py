"""One seed gives the same initial weights, batches and loss curves on every library."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from variants import Variant, make, params

from xpnet import SGD, TwoLayerNet, load_mnist
from xpnet.training.batches import epoch_batches, first_counter
from xpnet.training.step import first_carry, training_step

SEEDS = range(10)
STEPS = 500


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", [0, 12345, [0, 1]])
def test_initial_weights_are_bit_identical(eager: Variant, dtype: str, seed: Any) -> None:
    expected = TwoLayerNet(784, 50, 10, seed=seed, dtype=dtype).params
    found = TwoLayerNet(784, 50, 10, seed=seed, dtype=dtype, backend=eager.backend).params
    for name in expected:
        host = eager.backend.to_numpy(found[name])
        assert host.dtype == dtype
        assert host.tobytes() == expected[name].tobytes()


@pytest.fixture(scope="module")
def digits() -> Any:
    return load_mnist()[0]


def curve(xp: Variant, digits: Any, seed: int, dtype: str) -> Any:
    x, t = (xp.asarray(a) for a in digits)
    net = TwoLayerNet(784, 50, 10, seed=seed, backend=xp.backend, dtype=dtype)
    optimizer = SGD(0.1)
    step = xp.backend.compile(training_step(net.with_kernels(xp.backend.kernels), optimizer, False))
    carry = first_carry(net, optimizer, xp.backend.asarray(first_counter(seed)))
    losses: list[float] = []
    for epoch in range(1, 1 + -(-STEPS // 40)):
        batches = xp.backend.asarray(epoch_batches(len(digits[0]), 100, seed, epoch))
        for i in range(min(40, STEPS - len(losses))):
            carry, loss = step(carry, {"x": x, "t": t}, batches[i, ...])
            losses.append(float(loss))
    return np.array(losses)


@pytest.fixture(scope="module")
def numpy_curves(digits: Any) -> Any:
    return {(seed, dtype): curve(make("numpy"), digits, seed, dtype)
            for seed in SEEDS for dtype in ("float32", "float64")}


@pytest.mark.parametrize("variant", params("strict", "torch", "jax", "cupy"))
def test_loss_curves_agree(variant: str, digits: Any, numpy_curves: Any) -> None:
    xp = make(variant)
    far = {
        dtype: [
            np.max(np.abs(curve(xp, digits, seed, dtype) / numpy_curves[seed, dtype] - 1))
            for seed in SEEDS
        ]
        for dtype in ("float32", "float64")
    }
    print(variant, {dtype: [f"{d:.1e}" for d in sorted(far[dtype])] for dtype in far})
    assert numpy_curves[0, "float32"][-1] < 0.5 * numpy_curves[0, "float32"][0]
    assert np.median(far["float32"]) < 1e-4
    assert max(far["float32"]) < 1e-3
    assert max(far["float64"]) < 1e-9
