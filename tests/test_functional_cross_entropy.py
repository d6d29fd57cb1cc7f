from __future__ import annotations

import numpy as np
import pytest
from autograd import gradients
from variants import Variant

from xpnet.functional import cross_entropy_error, cross_entropy_error_backward


def test_the_books_examples(xp: Variant) -> None:
    # Chapter 4.2.2, without the 1e-7 that the book adds: -log(0.6) and -log(0.1).
    t = np.array([0.0, 0, 1, 0, 0, 0, 0, 0, 0, 0])
    y = np.array([0.1, 0.05, 0.6, 0.0, 0.05, 0.1, 0.0, 0.1, 0.0, 0.0])
    xp.check(xp.run(cross_entropy_error, y, t), 0.5108256237659907, rtol=1e-14)
    y = np.array([0.1, 0.05, 0.1, 0.0, 0.05, 0.1, 0.0, 0.6, 0.0, 0.0])
    xp.check(xp.run(cross_entropy_error, y, t), 2.3025850929940455, rtol=1e-14)


def test_class_numbers_equal_one_hot_rows(xp: Variant) -> None:
    rng = np.random.default_rng(0)
    y = rng.dirichlet(np.ones(4), size=6)
    t = rng.integers(0, 4, 6)
    expected = -np.log(y[np.arange(6), t]).mean()
    xp.check(xp.run(cross_entropy_error, y, t), expected, rtol=1e-14)
    xp.check(xp.run(cross_entropy_error, y, np.eye(4)[t]), expected, rtol=1e-14)


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5)])
def test_backward_is_autograds(xp: Variant, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    y = rng.dirichlet(np.ones(5), size=shape[:-1])
    t = rng.dirichlet(np.ones(5), size=shape[:-1])
    dout = rng.standard_normal(shape[:-2])
    rows = shape[-2] if len(shape) > 1 else 1
    (expected,) = gradients(
        lambda torch, y: -(torch.as_tensor(t) * torch.log(y)).sum(-1).reshape(
            (*shape[:-2], rows)).mean(-1), dout, [y])
    xp.check(xp.run(cross_entropy_error_backward, dout, y, t), expected, rtol=1e-10)


def test_certainty_of_the_wrong_class_is_finite(xp: Variant) -> None:
    loss = xp.run(cross_entropy_error, np.array([[1.0, 0.0]]), np.array([1]))
    xp.check(loss, -np.log(np.finfo(np.float64).smallest_normal), rtol=1e-14)


def test_integers_are_refused(xp: Variant) -> None:
    with pytest.raises(TypeError, match=r"cross_entropy_error wants a real floating dtype"):
        xp.run(cross_entropy_error, np.array([[1, 0]]), np.array([0]))


def test_half_precision_does_not_overflow() -> None:
    y = np.full((70000, 2), 0.5, np.float16)
    loss = cross_entropy_error(y, np.zeros(70000, int))
    assert loss.dtype == np.float16
    assert loss == np.float16(np.log(2))


def test_an_empty_batch_is_0(xp: Variant) -> None:
    xp.check(xp.run(cross_entropy_error, np.zeros((0, 3)), np.zeros(0, int)), 0.0)
