from __future__ import annotations

import numpy as np
import pytest
from autograd import gradients
from variants import Variant

from xpnet.functional import relu, relu_backward


def test_the_books_example(xp: Variant) -> None:
    # Chapter 5.5.1.
    x = np.array([[1.0, -0.5], [-2.0, 3.0]])
    xp.check(xp.run(relu, x), [[1.0, 0], [0, 3]])
    xp.check(xp.run(relu_backward, np.full((2, 2), 7.0), x), [[7.0, 0], [0, 7]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(), (5,), (4, 3), (2, 3, 4), (0, 3)])
def test_backward_is_autograds_also_on_the_kink(
    xp: Variant, dtype: str, shape: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    x = np.asarray(rng.integers(-2, 3, shape), dtype)  # a fifth of them 0
    dout = np.asarray(rng.standard_normal(shape), dtype)
    (expected,) = gradients(lambda torch, x: torch.relu(x), dout, [x])
    xp.check(xp.run(relu_backward, dout, x), expected, dtype=dtype, rtol=0)


def test_a_dout_that_does_not_fit_is_refused(xp: Variant) -> None:
    with pytest.raises(ValueError, match=r"relu_backward wants dout of shape \(3, 4\)"):
        xp.run(relu_backward, np.ones((3, 1)), np.ones((3, 4)))
    for dout, x in (((5, 3), (1, 3)), ((5, 3), (5, 1)), ((4, 5, 3), (5, 3)), ((4, 5, 3), (3, 5, 3))):
        with pytest.raises(ValueError, match=r"relu_backward wants dout of shape"):
            xp.run(relu_backward, np.ones(dout), np.ones(x))
    one_each = xp.run(relu_backward, np.ones((4, 5, 3)), np.ones((1, 5, 3)))
    xp.check(one_each, np.ones((4, 5, 3)))
    with pytest.raises(TypeError, match=r"relu_backward wants dout of dtype .*float32"):
        xp.run(relu_backward, np.ones((3, 4)), np.ones((3, 4), np.float32))


def test_nan_is_not_hidden(xp: Variant) -> None:
    x = np.array([np.nan, np.inf, -np.inf])
    xp.check(xp.run(relu, x), [np.nan, np.inf, 0])
    xp.check(xp.run(relu_backward, np.ones(3), x), [1.0, 1, 0])
