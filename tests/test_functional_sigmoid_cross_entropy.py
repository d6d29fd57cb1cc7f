from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from autograd import gradients
from variants import Variant

from xpnet.functional import sigmoid, sigmoid_cross_entropy, sigmoid_cross_entropy_backward
from xpnet.testing import check_gradients

N, C = 5, 3
RNG = np.random.default_rng(0)
X, T, S = 3 * RNG.standard_normal((N, C)), RNG.integers(0, 2, (N, C)), RNG.uniform(0, 2, N)


def torch_bce(t: Any, s: Any = None) -> Any:
    """PyTorch's own mean; with weights, the weighted mean of its rows."""

    def loss(torch: Any, x: Any) -> Any:
        bce = torch.nn.functional.binary_cross_entropy_with_logits
        labels = torch.as_tensor(t, dtype=torch.float64)
        if s is None:
            return bce(x, labels)
        return (torch.as_tensor(s) * bce(x, labels, reduction="none").mean(-1)).sum() / s.sum()

    return loss


def expected(x: Any, t: Any, s: Any = None) -> tuple[Any, Any]:
    torch = pytest.importorskip("torch")
    f = torch_bce(t, s)
    return f(torch, torch.tensor(x, dtype=torch.float64)).numpy(), gradients(f, 1.0, [x])[0]


def both(x: Any, t: Any, s: Any = None) -> Any:
    return (sigmoid_cross_entropy(x, t, sample_weight=s),
            sigmoid_cross_entropy_backward(1, x, t, sample_weight=s),
            sigmoid_cross_entropy_backward(1, x, t, sample_weight=s, y=sigmoid(x)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weights", [(), (S,)], ids=["plain", "weighted"])
def test_against_torch(xp: Variant, dtype: str, weights: tuple[Any, ...]) -> None:
    x = X.astype(dtype)
    value, gradient = expected(x, T, *weights)
    rtol, atol = (1e-10, 1e-15) if dtype == "float64" else (1e-5, 1e-7)
    for t in (T, T.astype(bool), T.astype("uint8"), T.astype("float32")):
        loss, dx, handed_on = xp.run(both, x, t, *weights)
        xp.check(loss, value, dtype=dtype, rtol=rtol)
        xp.check_all((dx, handed_on), (gradient, gradient), dtype=dtype, rtol=rtol, atol=atol)


def test_probabilities_as_labels(xp: Variant) -> None:
    t = np.random.default_rng(1).random((N, C))
    value, gradient = expected(X, t)
    loss, dx, _ = xp.run(both, X, t)
    xp.check(loss, value, rtol=1e-12)
    xp.check(dx, gradient, rtol=1e-10, atol=1e-15)


def test_what_is_handed_on_is_used(xp: Variant) -> None:
    x = np.zeros((1, 2))
    dx = xp.run(lambda x, t, y: sigmoid_cross_entropy_backward(1, x, t, y=y), x, x, x + 0.25)
    xp.check(dx, [[0.125, 0.125]])


def test_labels_of_one_question_may_lack_its_axis(xp: Variant) -> None:
    x, t = X[:, :1], T[:, 0]
    value, gradient = expected(x, t[:, None])
    for labels in (t, t[:, None]):
        loss, dx, _ = xp.run(both, x, labels)
        xp.check(loss, value, rtol=1e-12)
        xp.check(dx, gradient, rtol=1e-12)


@pytest.mark.parametrize("one_batch", [False, True])
def test_a_stack_equals_its_members(xp: Variant, one_batch: bool) -> None:
    rng = np.random.default_rng(2)
    x = np.stack([X] * 2) if one_batch else rng.standard_normal((2, N, C))
    t = rng.integers(0, 2, (2, N, C))
    s, dout = rng.uniform(0, 2, (2, N)), rng.standard_normal(2)
    members = [expected(x[k], t[k], s[k]) for k in range(2)]

    def value_and_gradient(dout: Any, x: Any, t: Any, s: Any) -> Any:
        return (sigmoid_cross_entropy(x, t, sample_weight=s),
                sigmoid_cross_entropy_backward(dout, x, t, sample_weight=s))

    given = X[None] if one_batch else x  # x[None] asks for one gradient a network
    loss, dx = xp.run(value_and_gradient, dout, given, t, s)
    xp.check(loss, np.stack([value for value, _ in members]), rtol=1e-12)
    gradient = np.stack([d * gradient for d, (_, gradient) in zip(dout, members, strict=True)])
    xp.check(dx, gradient, rtol=1e-10, atol=1e-15)


def test_a_batch_that_several_labels_share_gets_the_sum(xp: Variant) -> None:
    t, dout = np.stack([T, 1 - T]), np.array([2.0, -1])
    gradient = 2 * expected(X, T)[1] - expected(X, 1 - T)[1]
    xp.check(xp.run(sigmoid_cross_entropy_backward, dout, X, t), gradient, rtol=1e-10, atol=1e-15)


def test_large_scores_neither_overflow_nor_vanish(xp: Variant) -> None:
    # right by a little, wrong by all, and the same for no
    x = np.array([[40.0], [-1e4], [-40.0], [1e4]])
    t = np.array([1, 1, 0, 0])
    loss, dx, _ = xp.run(both, x, t)
    xp.check(loss, 5e3, rtol=1e-14)
    xp.check(dx, [[0.0], [-0.25], [0], [0.25]], rtol=1e-14, atol=1e-17)
    for k in (0, 2):
        xp.check(xp.run(sigmoid_cross_entropy, x[k:k + 1], t[k:k + 1]), np.exp(-40.0), rtol=1e-14)


@pytest.mark.parametrize("dtype", ["int64", "float64"])
def test_labels_outside_make_the_loss_nan(xp: Variant, dtype: str) -> None:
    for outside in (-1, 2):
        t = T.astype(dtype)
        t[2, 1] = outside
        xp.check(xp.run(sigmoid_cross_entropy, X, t), np.nan)


def test_without_rows_or_weight_it_is_0(xp: Variant) -> None:
    nothing = np.zeros((0, C))
    xp.check_all(xp.run(both, X[:0], T[:0]), (0.0, nothing, nothing))
    xp.check_all(xp.run(both, X[:0], T[:0], S[:0]), (0.0, nothing, nothing))
    xp.check_all(xp.run(both, X, T, 0 * S), (0.0, 0 * X, 0 * X))


def test_wrong_shapes(xp: Variant) -> None:
    for f in (sigmoid_cross_entropy, lambda x, t: sigmoid_cross_entropy_backward(1, x, t)):
        for t in (T[:, 0], T[:1], T[:, :1]):
            with pytest.raises(ValueError, match=r"sigmoid_cross_entropy.* wants targets of shape "
                                                 r"\(…, 5, 3\) for a batch of shape \(5, 3\)"):
                xp.run(f, X, t)


def test_half_precision_sums_in_single() -> None:
    x, t = np.zeros((40000, 2), np.float16), np.zeros((40000, 2), int)
    for s in (None, np.ones(40000, np.float16)):
        loss = sigmoid_cross_entropy(x, t, sample_weight=s)
        assert loss.dtype == np.float16
        assert loss == np.float16(np.log(2))
        dx = sigmoid_cross_entropy_backward(1000.0, x, t, sample_weight=s)
        assert dx.dtype == np.float16
        np.testing.assert_allclose(dx[0, 0], 500 / 80000, rtol=1e-3)


@pytest.mark.parametrize("weights", [(), (S,)], ids=["plain", "weighted"])
def test_check_gradients(eager: Variant, weights: tuple[Any, ...]) -> None:
    given = dict(zip(["sample_weight"], map(eager.asarray, weights), strict=False))

    def backward(dout: Any, x: Any, t: Any) -> Any:
        return sigmoid_cross_entropy_backward(dout, x, t, **given)

    assert check_gradients(lambda x, t: sigmoid_cross_entropy(x, t, **given), eager.asarray(X),
                           eager.asarray(T), backward=backward)
