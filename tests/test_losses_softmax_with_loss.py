from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from autograd import gradients
from variants import Variant, installed

from xpnet import SoftmaxWithLoss
from xpnet.testing import check_gradients, check_layer

W, S = np.array([0.5, 1, 2]), np.array([1.0, 0, 2, 0.5, 1])


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


@pytest.mark.parametrize("as_list", [False, True])
def test_with_all_options(xp: Variant, as_list: bool) -> None:
    def weighted(x: Any, t: Any, w: Any, s: Any) -> Any:
        loss = SoftmaxWithLoss(0.1, W.tolist() if as_list else w).bind()
        return loss.forward(x, t, s), loss.backward(), loss.backward(2.0)

    def torch_loss(torch: Any, x: Any) -> Any:
        labels, w, s = map(torch.as_tensor, (t, W, S))
        rows = torch.nn.functional.cross_entropy(x, labels, w, label_smoothing=0.1,
                                                 reduction="none")
        return (s * rows).sum() / (s * w[labels]).sum()

    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    x, t = rng.standard_normal((5, 3)), rng.integers(0, 3, 5)
    (expected,) = gradients(torch_loss, 1.0, [x])
    loss, dx, twice = xp.run(weighted, x, t, W, S)
    xp.check(loss, torch_loss(torch, torch.tensor(x)).numpy(), rtol=1e-12)
    xp.check_all((dx, twice), (expected, 2 * expected), rtol=1e-10, atol=1e-15)


def test_it_keeps_what_it_was_given(eager: Variant) -> None:
    x, t = eager.asarray(np.zeros((2, 3))), eager.asarray(np.array([1, 2], "uint8"))
    s = eager.asarray([1.0, 2])
    loss = SoftmaxWithLoss()
    loss.forward(x, t, s)
    assert loss.x is x
    assert loss.t is t
    assert loss.sample_weight is s
    eager.check(loss.loss, np.log(3), rtol=1e-14)
    loss.forward(x, t)
    assert loss.sample_weight is None
    eager.check(loss.backward(), (1 / 3 - np.eye(3)[[1, 2]]) / 2, rtol=1e-14)


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1, "class_weights": W}])
def test_the_checks_pass(eager: Variant, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(2)
    x, t = eager.asarray(rng.standard_normal((5, 3))), eager.asarray([0, 2, 1, 1, 0])
    given = {k: eager.asarray(v) if k == "class_weights" else v for k, v in options.items()}
    assert check_gradients(SoftmaxWithLoss(**given), x, t)
    assert check_gradients(SoftmaxWithLoss(**given), x, t, eager.asarray(S))
    if eager.id == "numpy":
        listed = {k: v.tolist() if k == "class_weights" else v for k, v in options.items()}
        assert check_layer(SoftmaxWithLoss(**listed), x, t)
        assert check_layer(SoftmaxWithLoss(**listed), x, t, S)


def test_it_says_its_metric() -> None:
    assert SoftmaxWithLoss.metric == "accuracy"


def test_backward_wants_a_forward() -> None:
    with pytest.raises(RuntimeError, match=r"SoftmaxWithLoss.backward wants a forward"):
        SoftmaxWithLoss().backward()


def test_smoothing_is_checked_at_once() -> None:
    with pytest.raises(ValueError, match=r"label_smoothing is a number of 0 … 1; got 2"):
        SoftmaxWithLoss(label_smoothing=2)


def test_class_weights_are_checked_at_once(eager: Variant) -> None:
    weights: Any
    for weights in ([-1, 2], [1, float("nan")], ["1", 2]):
        with pytest.raises((TypeError, ValueError), match=r"SoftmaxWithLoss wants class_weights "):
            SoftmaxWithLoss(class_weights=weights)
    for weights in ("abc", 2.0, eager.asarray(np.ones((1, 3)))):
        with pytest.raises(ValueError, match=r"wants class_weights of shape \(C,\); got"):
            SoftmaxWithLoss(class_weights=weights)


@pytest.mark.skipif(not installed("torch"), reason="torch is not installed")
def test_tensors_on_the_tape_are_refused() -> None:
    import torch

    x, t, on_tape = torch.zeros(2, 3), torch.tensor([0, 1]), torch.ones(2, requires_grad=True)
    for arrays in ((on_tape, t), (x, on_tape), (x, t, on_tape)):
        with pytest.raises(TypeError, match=r"SoftmaxWithLoss .* pass x.detach\(\)"):
            SoftmaxWithLoss().forward(*arrays)
    with pytest.raises(TypeError, match=r"SoftmaxWithLoss .* pass x.detach\(\)"):
        SoftmaxWithLoss(class_weights=on_tape)


@pytest.mark.skipif(not installed("jax"), reason="jax is not installed")
def test_under_jit_a_plain_loss_says_bind() -> None:
    import jax

    with pytest.raises(TypeError, match=r"SoftmaxWithLoss .* would leak: bind it first"):
        jax.jit(SoftmaxWithLoss().forward)(jax.numpy.ones((2, 3)), jax.numpy.asarray([0, 1]))
