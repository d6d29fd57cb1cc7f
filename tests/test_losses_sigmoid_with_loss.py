from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from autograd import gradients
from variants import Variant

from xpnet import SigmoidWithLoss
from xpnet.testing import check_gradients, check_layer

RNG = np.random.default_rng(0)
X, T, S = RNG.standard_normal((5, 3)), RNG.integers(0, 2, (5, 3)), np.array([1.0, 0, 2, 0.5, 1])


def torch_bce(s: Any) -> Any:
    def loss(torch: Any, x: Any) -> Any:
        t = torch.as_tensor(T, dtype=torch.float64)
        rows = torch.nn.functional.binary_cross_entropy_with_logits(x, t, reduction="none")
        return (torch.as_tensor(s)[:, None] * rows).sum() / (3 * s.sum())

    return loss


@pytest.mark.parametrize("weights", [(), (S,)], ids=["plain", "weighted"])
def test_forward_and_backward(xp: Variant, weights: tuple[Any, ...]) -> None:
    def both(*inputs: Any) -> Any:
        loss = SigmoidWithLoss().bind()
        return loss.forward(*inputs), loss.loss, loss.y, loss.backward(), loss.backward(2.0)

    s = weights[0] if weights else np.ones(5)
    p = 1 / (1 + np.exp(-X))
    value = np.average(-np.log(np.where(T == 1, p, 1 - p)).mean(-1), weights=s)
    (expected,) = gradients(torch_bce(s), 1.0, [X])
    value_now, kept, y, dx, twice = xp.run(both, X, T, *weights)
    xp.check_all((value_now, kept, y), (value, value, p), rtol=1e-12)
    xp.check_all((dx, twice), (expected, 2 * expected), rtol=1e-10, atol=1e-15)


def test_the_checks_pass(eager: Variant) -> None:
    x, t, s = map(eager.asarray, (X, T, S))
    assert check_gradients(SigmoidWithLoss(), x, t)
    assert check_gradients(SigmoidWithLoss(), x, t, s)
    if eager.id == "numpy":
        assert check_layer(SigmoidWithLoss(), x, t)
        assert check_layer(SigmoidWithLoss(), x, t, s)


def test_it_says_its_metric() -> None:
    assert SigmoidWithLoss.metric == "binary_accuracy"
