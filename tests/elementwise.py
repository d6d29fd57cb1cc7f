"""What holds for every function of single elements, for its test to call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from autograd import gradients
from variants import Variant

POINTS = np.array([[-1e4, -30.0, -5.0, -1.0], [-0.5, -1e-3, 0.0, 1e-3], [0.5, 1.0, 5.0, 1e4]])


def agrees_with_autograd(
    xp: Variant, f: Callable[..., Any], backward: Callable[..., Any], torch_f: Callable[..., Any]
) -> None:
    """Hold values and gradients, from saturation to saturation, against PyTorch in float64."""
    torch = pytest.importorskip("torch")
    for dtype, rtol, atol in (("float64", 1e-10, 1e-14), ("float32", 1e-5, 1e-6)):
        x = POINTS.astype(dtype)
        dout = np.random.default_rng(0).standard_normal(x.shape).astype(dtype)
        y, dx = xp.run(lambda x, dout: (f(x), backward(dout, x)), x, dout)
        xp.check(y, torch_f(torch, torch.asarray(x, dtype=torch.float64)).numpy(), dtype=dtype,
                 rtol=rtol, atol=atol)
        xp.check(dx, gradients(torch_f, dout, [x])[0], dtype=dtype, rtol=rtol, atol=atol)


def uses_y(xp: Variant, backward: Callable[..., Any], derivative: float) -> None:
    """See that what the forward hands on is used: here 0.5, wherever `x` is."""
    dout = np.random.default_rng(0).standard_normal(POINTS.shape)
    dx = xp.run(lambda dout, x: backward(dout, x, y=0 * x + 0.5), dout, POINTS)
    xp.check(dx, derivative * dout, rtol=1e-15)


def keeps_nan_and_nothing(xp: Variant, f: Callable[..., Any], backward: Callable[..., Any]) -> None:
    """See NaN where it was, and an empty batch come through."""
    x = np.where(POINTS > 0, np.nan, -1.0)
    y = xp.run(f, x)
    xp.check(xp.namespace.isnan(y), np.isnan(x))
    empty = np.ones((0, 4))
    xp.check_all(xp.run(lambda x: (f(x), backward(x, x)), empty), (empty, empty))


def refuses_what_does_not_fit(
    xp: Variant, f: Callable[..., Any], backward: Callable[..., Any]
) -> None:
    """Want words for a `dout` of another shape or dtype, and for integers."""
    name = backward.__name__
    with pytest.raises(ValueError, match=rf"{name} wants dout of shape \(3, 4\); got \(3, 1\)"):
        xp.run(backward, np.ones((3, 1)), np.ones((3, 4)))
    with pytest.raises(TypeError, match=rf"{name} wants dout of dtype .*float32; got .*float64"):
        xp.run(backward, np.ones((3, 4)), np.ones((3, 4), "float32"))
    with pytest.raises(TypeError, match=rf"{f.__name__} wants a real floating dtype; got .*int64"):
        xp.run(f, np.ones((3, 4), "int64"))
