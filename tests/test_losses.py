from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from autograd import gradients
from variants import Variant, installed

from xpnet import SoftmaxWithLoss


def both(x: Any, t: Any) -> Any:
    loss = SoftmaxWithLoss().bind()
    return loss.forward(x, t), loss.backward(), loss.backward(2.0), loss.y, loss.loss


@pytest.mark.parametrize("one_hot", [False, True])
def test_forward_and_backward(xp: Variant, one_hot: bool) -> None:
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((5, 3)), rng.integers(0, 3, 5)
    rows = np.eye(3)[t]
    loss, dx, twice, y, kept = xp.run(both, x, rows if one_hot else t)
    (expected,) = gradients(
        lambda torch, x: torch.nn.functional.cross_entropy(x, torch.as_tensor(t)), 1.0, [x])
    p = np.exp(x) / np.exp(x).sum(-1, keepdims=True)
    value = -np.log(p[np.arange(5), t]).mean()
    xp.check_all((loss, kept, y), (value, value, p), rtol=1e-12)
    xp.check_all((dx, twice), (expected, 2 * expected), rtol=1e-10, atol=1e-15)


def test_it_keeps_the_labels_as_they_were_given(eager: Variant) -> None:
    x, t = eager.asarray(np.zeros((2, 3))), eager.asarray(np.array([1, 2], "uint8"))
    loss = SoftmaxWithLoss()
    loss.forward(x, t)
    assert loss.t is t
    eager.check(loss.loss, np.log(3), rtol=1e-14)


def test_backward_wants_a_forward() -> None:
    with pytest.raises(RuntimeError, match=r"SoftmaxWithLoss.backward wants a forward"):
        SoftmaxWithLoss().backward()


@pytest.mark.skipif(not installed("jax"), reason="jax is not installed")
def test_under_jit_a_plain_loss_says_bind() -> None:
    import jax

    with pytest.raises(TypeError, match=r"SoftmaxWithLoss .* would leak: bind it first"):
        jax.jit(SoftmaxWithLoss().forward)(jax.numpy.ones((2, 3)), jax.numpy.asarray([0, 1]))
