from __future__ import annotations

import math
from typing import Any

import elementwise
import numpy as np
from variants import Variant

from xpnet.functional import sigmoid, sigmoid_backward


def torch_sigmoid(torch: Any, x: Any) -> Any:
    return torch.sigmoid(x)


def test_values_and_gradients_are_autograds(xp: Variant) -> None:
    elementwise.agrees_with_autograd(xp, sigmoid, sigmoid_backward, torch_sigmoid)


def test_the_gradient_is_taken_from_what_the_forward_hands_on(xp: Variant) -> None:
    elementwise.uses_y(xp, sigmoid_backward, 0.25)


def test_nan_and_empty_batches(xp: Variant) -> None:
    elementwise.keeps_nan_and_nothing(xp, sigmoid, sigmoid_backward)


def test_what_does_not_fit_is_refused(xp: Variant) -> None:
    elementwise.refuses_what_does_not_fit(xp, sigmoid, sigmoid_backward)


def test_the_books_values(xp: Variant) -> None:
    # Chapter 3.2.4.
    xp.check(xp.run(sigmoid, np.array([-1.0, 1.0, 2.0])), [0.26894142, 0.73105858, 0.88079708],
             rtol=1e-7)


def test_small_probabilities_keep_their_digits(xp: Variant) -> None:
    x = np.array([-40.0, -700.0, 0.0])
    xp.check(xp.run(sigmoid, x), [math.exp(-40), math.exp(-700), 0.5], rtol=1e-15)


def test_saturation(xp: Variant) -> None:
    for dtype in ("float32", "float64"):
        x = np.array([-np.inf, -1e4, np.inf], dtype)
        xp.check(xp.run(sigmoid, x), [0.0, 0, 1], dtype=dtype, rtol=0)
        xp.check(xp.run(sigmoid_backward, np.ones(3, dtype), x), np.zeros(3), dtype=dtype, rtol=0)
