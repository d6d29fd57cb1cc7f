from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from autograd import gradients
from variants import Variant

from xpnet import MeanSquaredError
from xpnet.testing import check_gradients, check_layer

RNG = np.random.default_rng(0)
X, T, S = RNG.standard_normal((5, 3)), RNG.standard_normal((5, 3)), np.array([1.0, 0, 2, 0.5, 1])


def torch_mse(s: Any) -> Any:
    return lambda torch, x: (
        torch.as_tensor(s)[:, None] * (x - torch.as_tensor(T))**2).sum() / (3 * s.sum())


@pytest.mark.parametrize("weights", [(), (S,)], ids=["plain", "weighted"])
def test_forward_and_backward(xp: Variant, weights: tuple[Any, ...]) -> None:
    def both(*inputs: Any) -> Any:
        loss = MeanSquaredError().bind()
        return loss.forward(*inputs), loss.loss, loss.y, loss.backward(), loss.backward(2.0)

    s = weights[0] if weights else np.ones(5)
    value = np.average(((X - T)**2).mean(-1), weights=s)
    (expected,) = gradients(torch_mse(s), 1.0, [X])
    value_now, kept, y, dx, twice = xp.run(both, X, T, *weights)
    xp.check_all((value_now, kept, y), (value, value, X), rtol=1e-12)
    xp.check_all((dx, twice), (expected, 2 * expected), rtol=1e-10, atol=1e-15)


def test_the_checks_pass(eager: Variant) -> None:
    x, t, s = map(eager.asarray, (X, T, S))
    assert check_gradients(MeanSquaredError(), x, t)
    assert check_gradients(MeanSquaredError(), x, t, s)
    if eager.id == "numpy":
        assert check_layer(MeanSquaredError(), x, t)
        assert check_layer(MeanSquaredError(), x, t, s)


def test_it_says_its_metric() -> None:
    assert MeanSquaredError.metric == "r2_score"
