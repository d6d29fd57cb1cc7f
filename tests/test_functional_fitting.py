from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from variants import Variant

from xpnet.functional._fitting import fitting_targets, sample_column

# shapes of a batch, of targets for it, and of these as they are given back
FITTING = [
    ((4, 3), (4, 3), (4, 3)),
    ((4, 1), (4, 1), (4, 1)),
    ((4, 1), (4,), (4, 1)),
    ((2, 4, 1), (4,), (4, 1)),
    ((2, 4, 1), (2, 4), (2, 4, 1)),
    ((2, 4, 1), (4, 1), (4, 1)),
    ((2, 4, 1), (1, 4), (1, 4, 1)),
    ((2, 4, 3), (4, 3), (4, 3)),
    ((2, 4, 3), (1, 4, 3), (1, 4, 3)),
    ((1, 4, 3), (2, 4, 3), (2, 4, 3)),
    ((4, 3), (2, 4, 3), (2, 4, 3)),
    ((5, 2, 4, 3), (5, 1, 4, 3), (5, 1, 4, 3)),
    ((5, 2, 4, 3), (2, 4, 3), (2, 4, 3)),
    ((2, 3, 3), (3, 3), (3, 3)),
    ((2, 1, 1), (2, 1), (2, 1, 1)),
    ((1, 1), (1,), (1, 1)),
    ((0, 1), (0,), (0, 1)),
]


@pytest.mark.parametrize(("x", "t", "shape"), FITTING)
def test_targets_that_fit(
    eager: Variant, x: tuple[int, ...], t: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    values = np.arange(np.prod(t)).reshape(t)
    for dtype in ("int8", "float32", "bool"):
        out = eager.run(lambda x, t: fitting_targets("f", x, t), np.zeros(x), values.astype(dtype))
        eager.check(out, values.astype(dtype).reshape(shape), dtype="float64")


@pytest.mark.parametrize(("x", "t", "words"), [
    ((4, 3), (4,), r"f wants targets of shape \(…, 4, 3\) for a batch of shape \(4, 3\); got \(4,\)"),
    ((4, 1), (3,), r"f wants targets of shape \(…, 4, 1\) or \(…, 4\) for .*\(4, 1\); got \(3,\)"),
    ((4, 3), (3,), r"got \(3,\)"),
    ((4, 3), (1, 3), r"got \(1, 3\)"),
    ((4, 3), (4, 1), r"got \(4, 1\)"),
    ((4, 1), (4, 4), r"got \(4, 4\)"),
    ((4, 1), (2, 4), r"got \(2, 4\)"),  # without an axis for a stack, no column for each
    ((4, 1), (), r"got \(\)"),
    ((2, 4, 3), (3, 4, 3), r"got \(3, 4, 3\)"),
    ((2, 4, 1), (3, 4), r"got \(3, 4\)"),
    ((4,), (4,), r"f wants a batch of shape \(…, N, C\); got \(4,\)"),
    ((), (), r"f wants a batch of shape \(…, N, C\); got \(\)"),
])
def test_targets_that_do_not(
    xp: Variant, x: tuple[int, ...], t: tuple[int, ...], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        xp.run(lambda x, t: fitting_targets("f", x, t), np.zeros(x), np.zeros(t))


def test_a_batch_of_integers(xp: Variant) -> None:
    with pytest.raises(TypeError, match="f wants a real floating dtype; got"):
        xp.run(lambda x, t: fitting_targets("f", x, t), np.zeros((4, 3), int), np.zeros((4, 3)))


@pytest.mark.parametrize(("x", "s"), [
    ((4, 3), (4,)), ((2, 4, 3), (4,)), ((2, 4, 3), (2, 4)), ((2, 4, 3), (1, 4)),
    ((1, 4, 3), (2, 4)), ((4, 3), (2, 4)), ((5, 2, 4, 3), (5, 1, 4)),
])
def test_weights_that_fit(eager: Variant, x: tuple[int, ...], s: tuple[int, ...]) -> None:
    weights: Any = np.arange(np.prod(s)).reshape(s)
    for dtype in ("int8", "float32", "bool"):
        out = eager.run(sample_column, weights.astype(dtype), np.zeros(x))
        eager.check(out, weights.astype(dtype)[..., None], dtype="float64")


@pytest.mark.parametrize(("x", "s"), [
    ((4, 3), ()), ((4, 3), (1,)), ((4, 3), (3,)), ((4, 3), (4, 3)), ((4, 3), (4, 1)),
    ((2, 4, 3), (3, 4)),
])
def test_weights_that_do_not(xp: Variant, x: tuple[int, ...], s: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"sample_weight for a batch of shape .* wants shape "
                                         r"\(…, 4\); got \("):
        xp.run(sample_column, np.zeros(s), np.zeros(x))
