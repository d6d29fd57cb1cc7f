"""The estimators' network: its penalty, its losses, and its first weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from variants import Variant, make

from xpnet.sklearn._network import LOSSES, PenalisedNetwork, build, first_parameters
from xpnet.testing import check_gradients

X = np.random.default_rng(0).standard_normal((6, 4))
TARGETS = {
    "softmax": np.array([0, 1, 2, 2, 1, 0]), "logistic": (X[:, :3] > 0).astype(float), "identity": X[:, 1:],
    "exp": np.round(np.exp(X[:, 1:])),
}
WEIGHTS = np.array([1.0, 2, 0, 0.5, 1, 3])


def network(xp: Variant, out_activation: str, **options: Any) -> PenalisedNetwork:
    drawn = first_parameters([4, 5, 3], "tanh", False, np.random.RandomState(0))
    return build({name: xp.asarray(a) for name, a in drawn.items()}, {}, activation="tanh", dropout=0.0,
                 out_activation=out_activation, **{"alpha": 0.7, "solver": "lbfgs", **options})


@pytest.mark.parametrize("out_activation", LOSSES)
def test_the_gradient_is_that_of_loss_and_penalty(eager: Variant, out_activation: str) -> None:
    net = network(eager, out_activation)
    assert check_gradients(net, eager.asarray(X), eager.asarray(TARGETS[out_activation]))


@pytest.mark.parametrize("out_activation", LOSSES)
def test_weights_count_rows(eager: Variant, out_activation: str) -> None:
    net, t = network(eager, out_activation), TARGETS[out_activation]
    found = net.loss_and_gradient(eager.asarray(X), eager.asarray(t), eager.asarray(WEIGHTS * 2))
    repeated = (WEIGHTS * 2).astype(int)
    x, t = np.repeat(X, repeated, axis=0), np.repeat(t, repeated, axis=0)
    expected = net.loss_and_gradient(eager.asarray(x), eager.asarray(t))
    eager.check(found[0], eager.backend.to_numpy(expected[0]), rtol=1e-12)
    for name, g in expected[1].items():
        eager.check(found[1][name], eager.backend.to_numpy(g), rtol=1e-10, atol=1e-14)
    none, grads = net.loss_and_gradient(eager.asarray(X), eager.asarray(TARGETS[out_activation]),
                                        eager.asarray(np.zeros(6)))
    assert float(none) == 0
    assert all(not eager.backend.to_numpy(g).any() for g in grads.values())


def test_of_several_numbers_the_mean_is_shown() -> None:
    alone, shown = (network(make("numpy"), "identity", solver=solver) for solver in ("lbfgs", "adam"))
    (loss, grads), (mean, same) = (net.loss_and_gradient(X, TARGETS["identity"]) for net in (alone, shown))
    for name, g in grads.items():
        np.testing.assert_array_equal(same[name], g)
    penalty = 0.7 / 2 / 6 * sum((W**2).sum() for name, W in alone.params.items() if name[0] == "W")
    assert float(loss) - penalty == pytest.approx(3 * (float(mean) - penalty))


def test_the_poisson_loss_is_half_the_deviance() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    net = network(make("numpy"), "exp", alpha=0)
    y = np.exp(net.predict(X))
    expected = sum(metrics.mean_poisson_deviance(t, p) / 2
                   for t, p in zip(TARGETS["exp"].T, y.T, strict=True))
    assert float(net.loss(X, TARGETS["exp"])) == pytest.approx(expected, rel=1e-12)
    assert np.isnan(net.loss(X, -1 - TARGETS["exp"]))


def test_first_weights_are_uniform() -> None:
    for activation, factor in (("relu", 6), ("logistic", 2)):
        drawn = first_parameters([300, 200, 10], activation, True, np.random.RandomState(0))
        bound = np.sqrt(factor / 500)
        assert drawn["W1"].shape == (300, 200)
        assert 0.999 * bound < abs(drawn["W1"]).max() <= bound
        assert list(drawn) == ["W1", "b1", "gamma1", "beta1", "W2", "b2"]
