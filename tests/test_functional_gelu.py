from __future__ import annotations

import math
from typing import Any

import elementwise
import numpy as np
from variants import Variant

from xpnet.functional import gelu, gelu_backward


def torch_gelu(torch: Any, x: Any) -> Any:
    return torch.nn.functional.gelu(x, approximate="tanh")


def test_values_and_gradients_are_autograds(xp: Variant) -> None:
    elementwise.agrees_with_autograd(xp, gelu, gelu_backward, torch_gelu)


def test_nan_and_empty_batches(xp: Variant) -> None:
    elementwise.keeps_nan_and_nothing(xp, gelu, gelu_backward)


def test_what_does_not_fit_is_refused(xp: Variant) -> None:
    elementwise.refuses_what_does_not_fit(xp, gelu, gelu_backward)


def test_small_values_keep_their_digits(xp: Variant) -> None:
    # x / (1 + exp(-2u)): the form with 1 + tanh(u) has lost half of them at -5 already.
    x = np.array([-5.0, -9.0, -12.0])
    u = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    xp.check(xp.run(gelu, x), x / (1 + np.exp(-2 * u)), rtol=1e-12)


def test_saturation(xp: Variant) -> None:
    for dtype, large in (("float32", 1e38), ("float64", 1e300)):
        x = np.array([-large, -1e13, large], dtype)  # whose cubes overflow
        xp.check(xp.run(gelu, x), [0.0, 0, x[2]], dtype=dtype, rtol=0)
        xp.check(xp.run(gelu_backward, np.ones(3, dtype), x), [0.0, 0, 1], dtype=dtype, rtol=0)
