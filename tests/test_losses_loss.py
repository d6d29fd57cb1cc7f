"""What holds for every loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from variants import Variant, installed

import xpnet.losses
from xpnet import Loss, metrics

LOSSES = [getattr(xpnet.losses, name) for name in xpnet.losses.__all__ if name != "Loss"]
X, T = np.array([[0.5], [-1.0], [2.0]]), np.array([[1.0], [0], [1]])


@pytest.fixture(params=LOSSES, ids=lambda cls: cls.__name__)
def loss(request: pytest.FixtureRequest) -> Loss:
    return request.param()


def test_there_are_all() -> None:
    assert {cls.__name__ for cls in LOSSES} == {
        "MeanSquaredError", "SigmoidWithLoss", "SoftmaxWithLoss"}


def test_a_loss_without_its_methods_is_none() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Loss()  # type: ignore[abstract]


def test_its_metric_is_one(loss: Loss, eager: Variant) -> None:
    metric = getattr(metrics, loss.metric)
    x, t = (eager.asarray(np.concat([a, 1 - a], axis=-1)) for a in (X, T))
    assert metric(x, t).shape == ()


def test_its_name_is_in_its_errors(loss: Loss) -> None:
    assert loss.name == type(loss).__name__
    loss.name = "Last"
    with pytest.raises(RuntimeError, match=r"Last.backward wants a forward before it"):
        loss.backward()


def test_what_is_refused_leaves_the_last_forward(loss: Loss) -> None:
    value = loss.forward(X, T)
    dx = loss.backward()
    for refused in (T[:2], T[:, :, None, None]):
        with pytest.raises(ValueError, match="shape"):
            loss.forward(-X, refused)
    assert loss.x is X
    assert loss.loss is value
    np.testing.assert_array_equal(loss.backward(), dx)


def test_bound_it_leaves_the_loss_alone(loss: Loss, eager: Variant) -> None:
    x, t = eager.asarray(X), eager.asarray(T)
    value = loss.forward(x, t)
    bound = loss.bind()
    bound.forward(-x, t)
    assert type(bound) is type(loss)
    assert loss.loss is value
    assert loss.x is x


@pytest.mark.skipif(not installed("jax"), reason="jax is not installed")
def test_under_jit(loss: Loss) -> None:
    import jax

    def traced(x: Any, t: Any, s: Any) -> Any:
        bound = loss.bind()
        return bound.forward(x, t, s), bound.backward()

    given = [jax.numpy.asarray(a) for a in (X, T, np.array([1.0, 2, 0]))]
    value, dx = jax.jit(traced)(*given)
    np.testing.assert_allclose(value, loss.forward(*given), rtol=1e-6)
    np.testing.assert_allclose(dx, loss.backward(), rtol=1e-6)
    for k in range(3):  # each argument traced in turn
        with pytest.raises(TypeError, match=f"{loss.name} .* would leak: bind it first"):
            jax.jit(lambda a, k=k: loss.forward(*[*given[:k], a, *given[k + 1:]]))(given[k])
