from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from autograd import gradients
from variants import Variant

from xpnet.functional import softmax, softmax_cross_entropy, softmax_cross_entropy_backward


def torch_loss(rows: Any) -> Any:
    """The mean over the rows of -sum(t * log_softmax(x)), in PyTorch."""
    return lambda torch, x: -(
        torch.as_tensor(rows) * torch.log_softmax(x, -1)).sum(-1).mean(-1)


def data(seed: int, *stack: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    n, c = rng.integers(2, 9, 2)
    return 3 * rng.standard_normal((*stack, n, c)), rng.integers(0, c, n)


def reference(x: Any, rows: Any) -> Any:
    log_p = x - np.log(np.exp(x).sum(-1, keepdims=True))
    return -(rows * log_p).sum(-1).mean(-1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(2))
def test_against_the_formula_and_autograd(xp: Variant, dtype: str, seed: int) -> None:
    x, t = data(seed)
    x = x.astype(dtype)
    rows = np.eye(x.shape[-1])[t]
    loss = reference(x.astype("float64"), rows)
    (dx,) = gradients(torch_loss(rows), 1.0, [x])
    rtol, atol = (1e-10, 1e-15) if dtype == "float64" else (1e-4, 1e-6)
    for labels in (t, t.astype("uint8"), rows, rows.astype("int32"), rows.astype(bool)):
        xp.check(xp.run(softmax_cross_entropy, x, labels), loss, dtype=dtype, rtol=rtol)
        backward = xp.run(lambda x, t: softmax_cross_entropy_backward(1, x, t), x, labels)
        xp.check(backward, dx, dtype=dtype, rtol=rtol, atol=atol)


def test_what_is_handed_on_saves_work_and_changes_nothing(xp: Variant) -> None:
    x, t = data(0)
    loss, y = xp.run(lambda x, t: softmax_cross_entropy(x, t, return_y=True), x, t)
    xp.check(loss, reference(x, np.eye(x.shape[-1])[t]), rtol=1e-13)
    xp.check(y, np.exp(x) / np.exp(x).sum(-1, keepdims=True), rtol=1e-13)

    def both(x: Any, t: Any) -> Any:
        return (softmax_cross_entropy_backward(1.0, x, t),
                softmax_cross_entropy_backward(1.0, x, t, y=softmax(x)))

    plain, handed_on = xp.run(both, x, t)
    if xp.values:
        assert bool(xp.namespace.all(plain == handed_on))


@pytest.mark.parametrize("t_stack", [(), (3,)])
def test_stacks(xp: Variant, t_stack: tuple[int, ...]) -> None:
    rng = np.random.default_rng(5)
    x, dout = rng.standard_normal((3, 4, 5)), rng.standard_normal(3)
    t = rng.integers(0, 5, (*t_stack, 4))
    rows = np.eye(5)[t]
    xp.check(xp.run(softmax_cross_entropy, x, t), reference(x, rows), rtol=1e-12)
    (expected,) = gradients(torch_loss(rows), dout, [x])
    for labels in (t, rows):
        xp.check(xp.run(softmax_cross_entropy_backward, dout, x, labels), expected, rtol=1e-10,
                 atol=1e-15)


def test_one_batch_of_scores_and_a_stack_of_labels(xp: Variant) -> None:
    rng = np.random.default_rng(6)
    x, dout = rng.standard_normal((4, 5)), rng.standard_normal(3)
    rows = np.eye(5)[rng.integers(0, 5, (3, 4))]
    (expected,) = gradients(torch_loss(rows), dout, [x])
    dx = xp.run(softmax_cross_entropy_backward, dout, x, rows)
    xp.check(dx, expected, rtol=1e-10, atol=1e-15)


def test_rows_that_do_not_sum_to_1(xp: Variant) -> None:
    rng = np.random.default_rng(7)
    x, rows = rng.standard_normal((4, 5)), rng.random((4, 5))
    (expected,) = gradients(torch_loss(rows), 1.0, [x])
    backward = xp.run(lambda x, t: softmax_cross_entropy_backward(1, x, t), x, rows)
    xp.check(backward, expected, rtol=1e-10, atol=1e-15)


def test_one_row(xp: Variant) -> None:
    x, t = np.array([0.0, np.log(3)]), np.array(0)
    xp.check(xp.run(softmax_cross_entropy, x, t), np.log(4), rtol=1e-14)
    for labels in (t, np.array([1.0, 0])):
        dx = xp.run(lambda x, t: softmax_cross_entropy_backward(1, x, t), x, labels)
        xp.check(dx, [-0.75, 0.75], rtol=1e-14)


def test_what_is_handed_on_is_used(xp: Variant) -> None:
    def backward(x: Any, t: Any, y: Any) -> Any:
        return softmax_cross_entropy_backward(1, x, t, y=y)

    x, t, y = np.zeros((1, 2)), np.array([0]), np.array([[0.75, 0.25]])
    xp.check(xp.run(backward, x, t, y), [[-0.25, 0.25]])
    xp.check(xp.run(backward, x[0], t[0], y[0]), [-0.25, 0.25])


def test_large_scores_do_not_overflow(xp: Variant) -> None:
    x, t = np.array([[1e4, 0.0], [0.0, 1e4]]), np.array([0, 0])
    xp.check(xp.run(softmax_cross_entropy, x, t), 5e3, rtol=1e-14)


def test_impossible_classes_do_not_make_nan(xp: Variant) -> None:
    x = np.array([[0.0, 0.0, -np.inf]])
    xp.check(xp.run(softmax_cross_entropy, x, np.array([1])), np.log(2), rtol=1e-14)
    dx = xp.run(lambda x, t: softmax_cross_entropy_backward(1, x, t), x, np.array([1]))
    xp.check(dx, [[0.5, -0.5, 0]], rtol=1e-14)


def test_labels_outside_the_classes_make_the_loss_nan(xp: Variant) -> None:
    x = np.zeros((2, 3))
    for t in ([0, 3], [0, -1]):
        xp.check(xp.run(softmax_cross_entropy, x, np.array(t)), np.nan)


def test_half_precision_does_not_overflow() -> None:
    loss = softmax_cross_entropy(np.zeros((70000, 10), np.float16), np.zeros(70000, int))
    assert loss.dtype == np.float16
    assert loss == np.float16(np.log(10))


@pytest.mark.parametrize("dout", [np.array(2.0), np.array(2.0, np.float32)])
def test_dout_does_not_change_the_dtype(xp: Variant, dout: Any) -> None:
    x = np.zeros((2, 3), np.float32)
    dx = xp.run(softmax_cross_entropy_backward, dout, x, np.array([0, 1]))
    xp.check(dx, [[-2 / 3, 1 / 3, 1 / 3], [1 / 3, -2 / 3, 1 / 3]], dtype="float32", rtol=1e-6)


def test_a_dout_of_another_shape_is_refused(xp: Variant) -> None:
    with pytest.raises(ValueError, match=r"dout of the loss's shape \(\) wanted; got \(7,\)"):
        xp.run(softmax_cross_entropy_backward, np.ones(7), np.zeros((2, 3)), np.array([0, 1]))


def test_an_empty_batch_is_0(xp: Variant) -> None:
    x, t = np.zeros((0, 3)), np.zeros(0, int)
    xp.check(xp.run(softmax_cross_entropy, x, t), 0.0)
    dx = xp.run(lambda x, t: softmax_cross_entropy_backward(1, x, t), x, t)
    xp.check(dx, np.zeros((0, 3)))


def test_a_numpy_scalar_as_dout_does_not_change_the_dtype() -> None:
    x = np.zeros((2, 3), np.float32)
    dx = softmax_cross_entropy_backward(np.float64(2), x, np.array([0, 1]))
    assert dx.dtype == np.float32
    np.testing.assert_allclose(dx, [[-2 / 3, 1 / 3, 1 / 3], [1 / 3, -2 / 3, 1 / 3]], rtol=1e-6)
