from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from variants import Variant

from xpnet.optimizers import clip_by_global_norm


def clip(norm: float, stack_axes: int = 0) -> Any:
    def f(*grads: Any) -> Any:
        named = dict(zip("abc", grads, strict=False))
        clipped = clip_by_global_norm(named, norm, stack_axes=stack_axes)
        assert list(clipped) == list(named)
        return tuple(clipped.values())
    return f


@pytest.mark.parametrize("norm", [0.1, 13.0, 13.00001, 50.0])
def test_it_is_torchs(xp: Variant, norm: float) -> None:
    torch = pytest.importorskip("torch")
    a, b, c = np.array([[3.0, 0], [0, -4]]), np.array([12.0]), np.array(0.0)  # of norm 13
    tensors = [torch.zeros(g.shape, dtype=torch.float64) for g in (a, b, c)]
    for tensor, g in zip(tensors, (a, b, c), strict=True):
        tensor.grad = torch.tensor(g)
    torch.nn.utils.clip_grad_norm_(tensors, norm)
    expected = [tensor.grad.numpy() for tensor in tensors]
    found = xp.run(clip(norm), a, b)
    xp.check_all(found, expected[:2], rtol=1e-14)
    if norm == 50:
        xp.check_all(found, (a, b), rtol=0)
    if not xp.id.startswith("numpy"):  # which makes scalars of 0-dimensional arrays
        xp.check_all(xp.run(clip(norm), a, b, c), expected, rtol=1e-14)


def test_each_network_of_a_stack_has_its_own_norm(xp: Variant) -> None:
    a, b = np.array([[3.0, 0], [0.3, 0], [np.nan, 0]]), np.array([4.0, 0.4, 1])
    found = xp.run(clip(1.0, stack_axes=1), a, b)
    part = 1 / (5 + 1e-6)
    xp.check_all(found, ([[3 * part, 0], [0.3, 0], [np.nan, np.nan]], [4 * part, 0.4, np.nan]), rtol=1e-14)


def test_nothing_to_clip(xp: Variant) -> None:
    xp.check_all(xp.run(clip(1.0), np.zeros((2, 3)), np.zeros((0, 3))),
                 (np.zeros((2, 3)), np.zeros((0, 3))), rtol=0)


@pytest.mark.parametrize("stack_axes", [0, 1])
def test_squares_of_float16_do_not_overflow(xp: Variant, stack_axes: int) -> None:
    if not hasattr(xp.namespace, "float16"):
        pytest.skip(f"{xp.backend.name} has no float16")
    found = xp.run(clip(1.0, stack_axes), np.full((1, 4), 300, np.float16))
    xp.check(found[0], [[0.5] * 4], dtype="float16", rtol=1e-3)


@pytest.mark.parametrize("norm", [0, -1.0, float("inf"), float("nan"), "1", None])
def test_nonsense(norm: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"clip_by_global_norm wants norm .*; got "):
        clip(norm)(np.ones(2))


def test_float32(xp: Variant) -> None:
    found = xp.run(clip(1.0), np.array([3.0, 4.0], np.float32))
    xp.check(found[0], [0.6, 0.8], dtype="float32", rtol=1e-6)
