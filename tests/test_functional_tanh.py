from __future__ import annotations

import math
from typing import Any

import elementwise
import numpy as np
from variants import Variant

from xpnet.functional import tanh, tanh_backward


def torch_tanh(torch: Any, x: Any) -> Any:
    return torch.tanh(x)


def test_values_and_gradients_are_autograds(xp: Variant) -> None:
    elementwise.agrees_with_autograd(xp, tanh, tanh_backward, torch_tanh)


def test_the_gradient_is_taken_from_what_the_forward_hands_on(xp: Variant) -> None:
    elementwise.uses_y(xp, tanh_backward, 0.75)


def test_nan_and_empty_batches(xp: Variant) -> None:
    elementwise.keeps_nan_and_nothing(xp, tanh, tanh_backward)


def test_what_does_not_fit_is_refused(xp: Variant) -> None:
    elementwise.refuses_what_does_not_fit(xp, tanh, tanh_backward)


def test_saturation(xp: Variant) -> None:
    x = np.array([-np.inf, 1e4, np.inf])
    xp.check(xp.run(tanh, x), [-1.0, 1, 1], rtol=0)
    xp.check(xp.run(tanh_backward, np.ones(3), x), np.zeros(3), rtol=0)


def test_a_value(xp: Variant) -> None:
    xp.check(xp.run(tanh, np.array([1.0])), [(math.e - 1 / math.e) / (math.e + 1 / math.e)],
             rtol=1e-15)
