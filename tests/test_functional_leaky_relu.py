from __future__ import annotations

from typing import Any

import elementwise
import numpy as np
from variants import Variant

from xpnet.functional import leaky_relu, leaky_relu_backward


def torch_leaky_relu(torch: Any, x: Any) -> Any:
    return torch.nn.functional.leaky_relu(x)


def test_values_and_gradients_are_autograds(xp: Variant) -> None:
    elementwise.agrees_with_autograd(xp, leaky_relu, leaky_relu_backward, torch_leaky_relu)


def test_nan_and_empty_batches(xp: Variant) -> None:
    elementwise.keeps_nan_and_nothing(xp, leaky_relu, leaky_relu_backward)


def test_what_does_not_fit_is_refused(xp: Variant) -> None:
    elementwise.refuses_what_does_not_fit(xp, leaky_relu, leaky_relu_backward)


def test_another_slope(xp: Variant) -> None:
    x, dout = np.array([-2.0, 0.0, 3.0]), np.array([10.0, 20.0, 30.0])
    xp.check(xp.run(lambda x: leaky_relu(x, 0.25), x), [-0.5, 0, 3])
    xp.check(xp.run(lambda dout, x: leaky_relu_backward(dout, x, 0.25), dout, x), [2.5, 5, 30])


def test_infinity(xp: Variant) -> None:
    xp.check(xp.run(leaky_relu, np.array([-np.inf, 0.0, np.inf])), [-np.inf, 0, np.inf])
