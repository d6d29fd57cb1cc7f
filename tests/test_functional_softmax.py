from __future__ import annotations

import numpy as np
import pytest
from autograd import gradients
from variants import Variant

from xpnet.functional import softmax, softmax_backward


def test_the_books_examples(xp: Variant) -> None:
    # Chapter 3.5.1 and 3.5.2: the second overflows without the shift.
    xp.check(xp.run(softmax, np.array([0.3, 2.9, 4.0])), [0.01821127, 0.24519181, 0.73659691],
             rtol=1e-6)
    xp.check(xp.run(softmax, np.array([1010.0, 1000, 990])),
             [9.99954600e-01, 4.53978686e-05, 2.06106005e-09], rtol=1e-8)


def test_each_row_is_on_its_own(xp: Variant) -> None:
    # The page this began from sums over the whole batch.
    x = np.array([[0.0, np.log(3)], [100, 100]])
    xp.check(xp.run(softmax, x), [[0.25, 0.75], [0.5, 0.5]], rtol=1e-15)


@pytest.mark.parametrize("shape", [(4,), (3, 5), (2, 3, 4), (0, 3)])
def test_backward_is_autograds(xp: Variant, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x, dout = rng.standard_normal(shape), rng.standard_normal(shape)
    (expected,) = gradients(lambda torch, x: torch.softmax(x, -1), dout, [x])
    xp.check(xp.run(softmax_backward, dout, x), expected, rtol=1e-10, atol=1e-15)
    handed_on = xp.run(lambda dout, x: softmax_backward(dout, x, y=softmax(x)), dout, x)
    xp.check(handed_on, expected, rtol=1e-10, atol=1e-15)


def test_integers_are_refused(xp: Variant) -> None:
    with pytest.raises(TypeError, match=r"softmax wants a real floating dtype; got .*int64"):
        xp.run(softmax, np.array([1, 2]))
