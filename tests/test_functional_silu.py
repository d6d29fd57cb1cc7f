from __future__ import annotations

import math
from typing import Any

import elementwise
import numpy as np
from variants import Variant

from xpnet.functional import silu, silu_backward


def torch_silu(torch: Any, x: Any) -> Any:
    return torch.nn.functional.silu(x)


def test_values_and_gradients_are_autograds(xp: Variant) -> None:
    elementwise.agrees_with_autograd(xp, silu, silu_backward, torch_silu)


def test_nan_and_empty_batches(xp: Variant) -> None:
    elementwise.keeps_nan_and_nothing(xp, silu, silu_backward)


def test_what_does_not_fit_is_refused(xp: Variant) -> None:
    elementwise.refuses_what_does_not_fit(xp, silu, silu_backward)


def test_small_values_keep_their_digits(xp: Variant) -> None:
    xp.check(xp.run(silu, np.array([-40.0, -600.0, 0.0])),
             [-40 * math.exp(-40), -600 * math.exp(-600), 0], rtol=1e-15)


def test_saturation(xp: Variant) -> None:
    for dtype, large in (("float32", 1e38), ("float64", 1e300)):
        x = np.array([-large, -1e4, large], dtype)
        xp.check(xp.run(silu, x), [0.0, 0, x[2]], dtype=dtype, rtol=0)
        xp.check(xp.run(silu_backward, np.ones(3, dtype), x), [0.0, 0, 1], dtype=dtype, rtol=0)
