from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from autograd import gradients
from variants import Variant

from xpnet.functional import mean_squared_error, mean_squared_error_backward
from xpnet.testing import check_gradients

N, M = 5, 3
RNG = np.random.default_rng(0)
X, T, S = RNG.standard_normal((N, M)), RNG.standard_normal((N, M)), RNG.uniform(0, 2, N)


def torch_mse(t: Any, s: Any = None) -> Any:
    """PyTorch's own mean; with weights, the weighted mean of its rows."""

    def loss(torch: Any, x: Any) -> Any:
        mse = torch.nn.functional.mse_loss
        if s is None:
            return mse(x, torch.as_tensor(t))
        rows = mse(x, torch.as_tensor(t), reduction="none").mean(-1)
        return (torch.as_tensor(s) * rows).sum() / s.sum()

    return loss


def expected(x: Any, t: Any, s: Any = None) -> tuple[Any, Any]:
    torch = pytest.importorskip("torch")
    f = torch_mse(t, s)
    return f(torch, torch.tensor(x, dtype=torch.float64)).numpy(), gradients(f, 1.0, [x])[0]


def both(x: Any, t: Any, s: Any = None) -> Any:
    return (mean_squared_error(x, t, sample_weight=s),
            mean_squared_error_backward(1, x, t, sample_weight=s))


def test_by_hand(xp: Variant) -> None:
    # (1 + 4 + 0 + 9) / 4; the book's equation 4.1 would give 7.
    x, t = np.array([[1.0, 2], [3, 4]]), np.array([[0, 0], [3, 1]])
    xp.check_all(xp.run(both, x, t), (3.5, [[0.5, 1], [0, 1.5]]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weights", [(), (S,)], ids=["plain", "weighted"])
def test_against_torch(xp: Variant, dtype: str, weights: tuple[Any, ...]) -> None:
    x = X.astype(dtype)
    value, gradient = expected(x, T, *weights)
    rtol = 1e-10 if dtype == "float64" else 1e-5
    loss, dx = xp.run(both, x, T, *weights)
    xp.check(loss, value, dtype=dtype, rtol=rtol)
    xp.check(dx, gradient, dtype=dtype, rtol=rtol, atol=1e-7 if dtype == "float32" else 1e-15)


def test_targets_of_one_output_may_lack_its_axis(xp: Variant) -> None:
    x, t = X[:, :1], np.array([1, 0, 2, -1, 3])
    value, gradient = expected(x, t[:, None])
    for targets in (t, t[:, None], t.astype("int8"), t.astype("float32")):
        loss, dx = xp.run(both, x, targets)
        xp.check(loss, value, rtol=1e-12)
        xp.check(dx, gradient, rtol=1e-12)


@pytest.mark.parametrize("one_batch", [False, True])
@pytest.mark.parametrize("own_targets", [False, True])
def test_a_stack_equals_its_members(xp: Variant, one_batch: bool, own_targets: bool) -> None:
    rng = np.random.default_rng(1)
    x = np.stack([X] * 2) if one_batch else rng.standard_normal((2, N, M))
    t = rng.standard_normal((2, N, M)) if own_targets else np.stack([T] * 2)
    s, dout = rng.uniform(0, 2, (2, N)), rng.standard_normal(2)
    members = [expected(x[k], t[k], s[k]) for k in range(2)]

    def value_and_gradient(dout: Any, x: Any, t: Any, s: Any) -> Any:
        return (mean_squared_error(x, t, sample_weight=s),
                mean_squared_error_backward(dout, x, t, sample_weight=s))

    given = X[None] if one_batch else x  # x[None] asks for one gradient a network
    loss, dx = xp.run(value_and_gradient, dout, given, t if own_targets else T, s)
    xp.check(loss, np.stack([value for value, _ in members]), rtol=1e-12)
    gradient = np.stack([d * gradient for d, (_, gradient) in zip(dout, members, strict=True)])
    xp.check(dx, gradient, rtol=1e-10, atol=1e-15)


def test_a_batch_that_several_targets_share_gets_the_sum(xp: Variant) -> None:
    t, dout = np.stack([T, -T]), np.array([2.0, -1])
    gradient = 2 * expected(X, T)[1] - expected(X, -T)[1]
    xp.check(xp.run(mean_squared_error_backward, dout, X, t), gradient, rtol=1e-10, atol=1e-15)


def test_a_python_number_as_dout(xp: Variant) -> None:
    for dout in (3, 3.0, np.float64(3)):
        dx = xp.run(lambda x, t, s, dout=dout: mean_squared_error_backward(
            dout, x, t, sample_weight=s), X.astype("float32"), T, S)
        xp.check(dx, 3 * expected(X, T, S)[1], dtype="float32", rtol=1e-4, atol=1e-7)


def test_without_rows_or_weight_it_is_0(xp: Variant) -> None:
    xp.check_all(xp.run(both, X[:0], T[:0]), (0.0, np.zeros((0, M))))
    xp.check_all(xp.run(both, X[:0], T[:0], S[:0]), (0.0, np.zeros((0, M))))
    xp.check_all(xp.run(both, X, T, 0 * S), (0.0, np.zeros((N, M))))


def test_wrong_shapes(xp: Variant) -> None:
    for f in (mean_squared_error, lambda x, t: mean_squared_error_backward(1, x, t)):
        for t in (T[:, 0], T[:1], T[:, :1]):
            with pytest.raises(ValueError, match=r"mean_squared_error.* wants targets of shape "
                                                 r"\(…, 5, 3\) for a batch of shape \(5, 3\)"):
                xp.run(f, X, t)
    with pytest.raises(ValueError, match=r"dout of the loss's shape \(\) wanted; got \(2,\)"):
        xp.run(mean_squared_error_backward, np.ones(2), X, T)


def test_half_precision_sums_in_single() -> None:
    x, t = np.full((40000, 2), 300, np.float16), np.zeros((40000, 2), np.float16)
    x[1:] = 10
    loss = mean_squared_error(x, t)  # 300² and the sum are more than float16 holds
    assert loss.dtype == np.float16
    assert loss == np.float16((2 * 300**2 + 79998 * 100) / 80000)
    weighted = mean_squared_error(x, t, sample_weight=np.ones(40000, np.float16))
    assert weighted == loss
    assert mean_squared_error_backward(1000.0, x, t).dtype == np.float16


def test_half_precision_scales_before_it_doubles() -> None:
    x = np.full((2, 2), 40000, np.float16)
    dx = mean_squared_error_backward(1, x, 0 * x)
    assert dx.dtype == np.float16
    np.testing.assert_array_equal(dx, np.full((2, 2), 20000))


@pytest.mark.parametrize("weights", [(), (S,)], ids=["plain", "weighted"])
def test_check_gradients(eager: Variant, weights: tuple[Any, ...]) -> None:
    given = dict(zip(["sample_weight"], map(eager.asarray, weights), strict=False))
    t = eager.asarray(T)
    assert check_gradients(
        lambda x: mean_squared_error(x, t, **given), eager.asarray(X),
        backward=lambda dout, x: mean_squared_error_backward(dout, x, t, **given))
