from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_training import deep_network, network, problem
from variants import Variant, make, params

from xpnet import SGD, Adam, TwoLayerNet
from xpnet.training.batches import first_counter
from xpnet.training.step import counted_on, first_carry, gathered, scores, training_step

LIBRARIES = params("numpy", "strict", "torch", "jax")


def begin(xp: Variant, net: Any, optimizer: Any, seed: Any = 0) -> dict[str, Any]:
    return first_carry(net, optimizer, xp.backend.asarray(first_counter(seed)))


def test_a_batch(eager: Variant) -> None:
    x, t = np.arange(12.0).reshape(6, 2), np.arange(6)
    arrays = {"x": eager.asarray(x), "t": eager.asarray(t)}
    rows = np.array([4, 0, 5])
    batch = gathered(arrays, eager.asarray(rows), shared=False)
    eager.check(batch["x"], x[rows])
    eager.check(batch["t"], t[rows])
    eager.check(gathered(arrays, eager.asarray(rows), shared=True)["x"], x[rows][None])
    of_two = np.array([[4, 0, 5], [1, 1, 2]])
    batch = gathered(arrays, eager.asarray(of_two), shared=False)
    eager.check(batch["x"], x[of_two])
    eager.check(batch["t"], t[of_two])
    assert gathered(arrays, None, shared=False)["x"] is arrays["x"]
    eager.check(gathered(arrays, None, shared=True)["t"], t[None])


@pytest.mark.parametrize("variant", LIBRARIES)
def test_a_step_is_gradient_and_update(variant: str) -> None:
    xp = make(variant)
    x, t = problem(xp, rows=8)
    net, by_hand, optimizer = network(xp), network(xp), Adam(0.1)
    carry = begin(xp, net, optimizer)
    before = {name: xp.backend.to_numpy(p).copy() for name, p in net.params.items()}
    rows = np.array([0, 3, 5])
    step = xp.backend.compile(training_step(net, optimizer, shared=False))
    after, loss = step(carry, {"x": x, "t": t}, xp.asarray(rows))
    x, t = (xp.asarray(xp.backend.to_numpy(a)[rows]) for a in (x, t))
    expected, grads = by_hand.loss_and_gradient(x, t)
    new, state = optimizer.update(by_hand.params, grads, optimizer.init(by_hand.params))
    xp.check(loss, xp.backend.to_numpy(expected), rtol=1e-12)
    for name in new:
        xp.check(after["params"][name], xp.backend.to_numpy(new[name]), rtol=1e-9, atol=1e-12)
        xp.check(after["optimizer"]["m"][name], xp.backend.to_numpy(state["m"][name]), rtol=1e-9,
                 atol=1e-12)
        xp.check(net.params[name], before[name], rtol=0)  # nothing is changed
    xp.check(after["counter"], np.array([0, 1], np.int32))


def test_state_and_random_numbers_are_handed_on() -> None:
    xp = make("numpy")
    x, t = problem(xp)
    net = deep_network(xp)
    carry = begin(xp, net, SGD(0.0001), seed=5)
    step = training_step(net, SGD(0.0001), shared=False)
    first, loss = step(carry, {"x": x, "t": t}, None)
    second, other = step(first, {"x": x, "t": t}, None)
    again, same = step(first, {"x": x, "t": t}, None)
    assert abs(loss - other) > 1e-3  # other masks
    assert other == same
    assert not np.array_equal(first["state"]["running_mean1"], carry["state"]["running_mean1"])
    np.testing.assert_array_equal(second["state"]["running_var2"], again["state"]["running_var2"])
    np.testing.assert_array_equal(net.state["running_mean1"], np.zeros(8))
    np.testing.assert_array_equal(second["counter"], [5, 2])
    _, of_another_seed = step(begin(xp, net, SGD(0.0001), 6), {"x": x, "t": t}, None)
    assert abs(loss - of_another_seed) > 1e-3


def test_the_counter_counts_steps_of_every_network(xp: Variant) -> None:
    for counter in ([7, 0], [[1, 4], [2, 4]], [-1, 2**31 - 2]):
        host = np.array(counter, np.int32)
        out = xp.run(counted_on, host)
        xp.check(out, host + np.array([0, 1], np.int32))


@pytest.mark.parametrize("variant", params("torch"))
def test_a_loss_of_16_bits_comes_in_32(variant: str) -> None:
    xp = make(variant)
    x, t = problem(xp)
    net = TwoLayerNet(2, 4, 3, seed=0, backend=xp.backend, dtype="bfloat16")
    _, loss = training_step(net, SGD(0.1), shared=False)(begin(xp, net, SGD(0.1)),
                                                         {"x": x, "t": t}, None)
    assert loss.dtype == xp.namespace.float32


@pytest.mark.parametrize("variant", params("numpy", "strict", "torch"))
def test_scores_are_those_of_inference(variant: str) -> None:
    xp = make(variant)
    x, _ = problem(xp)
    for net in (deep_network(xp), deep_network(xp, seed=[0, 1])):
        found = scores(net)(dict(net.params), dict(net.state), x)
        xp.check(found, xp.backend.to_numpy(net.predict(x)), rtol=0)
    assert tuple(found.shape) == (2, 60, 3)
