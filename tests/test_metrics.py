from __future__ import annotations

import numpy as np
import pytest
from variants import Variant

from xpnet.metrics import accuracy


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_accuracy(xp: Variant, dtype: str) -> None:
    y = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], dtype)
    t = np.array([1, 1, 1, 0])
    for labels in (t, t.astype("uint8"), np.eye(2)[t], np.eye(2, dtype=int)[t]):
        xp.check(xp.run(accuracy, y, labels), 0.75, dtype=dtype)


def test_a_stack_has_one_each(xp: Variant) -> None:
    y = np.array([[[0.0, 1], [1, 0]], [[1.0, 0], [1, 0]]])
    xp.check(xp.run(accuracy, y, np.array([1, 0])), [1.0, 0.5])


def test_counts_are_not_lost_in_half_precision() -> None:
    # float16 counts in steps of 8 from 8192 on, and ends at 65504.
    y = np.zeros((70001, 2), np.float16)
    t = np.ones(70001, int)
    t[0] = 0
    assert accuracy(y, t) == np.float32(1) / np.float32(70001)


def test_an_empty_batch_is_0(xp: Variant) -> None:
    xp.check(xp.run(accuracy, np.zeros((0, 3)), np.zeros(0, int)), 0.0)


def test_labels_that_do_not_fit(xp: Variant) -> None:
    with pytest.raises(ValueError, match=r"labels for scores of shape \(4, 3\) .* got \(3,\)"):
        xp.run(accuracy, np.zeros((4, 3)), np.zeros(3, int))
    with pytest.raises(ValueError, match=r"labels for scores of shape \(4, 3\) .* got \(4, 5\)"):
        xp.run(accuracy, np.zeros((4, 3)), np.zeros((4, 5)))


def test_one_row(xp: Variant) -> None:
    xp.check(xp.run(accuracy, np.array([0.1, 0.9]), np.array(1)), 1.0)
