from __future__ import annotations

import numpy as np
import pytest
from variants import Variant

from xpnet.functional import one_hot
from xpnet.functional.labels import is_one_hot, target_rows

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


@pytest.mark.parametrize("dtype", INTEGERS)
def test_one_hot(xp: Variant, dtype: str) -> None:
    out = xp.run(lambda t: one_hot(t, 3, xp.namespace.float32), np.array([2, 0, 1], dtype))
    xp.check(out, [[0, 0, 1], [1, 0, 0], [0, 1, 0]], dtype="float32")


def test_more_classes_than_the_labels_dtype_can_count(xp: Variant) -> None:
    out = xp.run(lambda t: one_hot(t, 300, xp.namespace.float32), np.array([255, 1], "uint8"))
    expected = np.zeros((2, 300))
    expected[0, 255] = expected[1, 1] = 1
    xp.check(out, expected, dtype="float32")


def test_labels_outside_the_classes_are_nan(xp: Variant) -> None:
    out = xp.run(lambda t: one_hot(t, 2, xp.namespace.float64), np.array([-1, 0, 2]))
    xp.check(out, [[np.nan, np.nan], [1, 0], [np.nan, np.nan]])


def test_what_is_one_hot(xp: Variant) -> None:
    assert is_one_hot(xp.asarray(np.zeros((5, 3))), 2)
    assert is_one_hot(xp.asarray(np.zeros((5, 3), int)), 2)
    assert is_one_hot(xp.asarray(np.zeros((5, 3))), 3)  # floating, for a stack
    assert is_one_hot(xp.asarray(np.zeros((5, 3), bool)), 3)
    assert not is_one_hot(xp.asarray(np.zeros(10, int)), 2)  # not by size: the book's way


def test_shapes_that_do_not_fit(xp: Variant) -> None:
    y = np.zeros((4, 3))
    for t, wanted in (
        (np.zeros((4, 2)), r"one-hot labels for scores of shape \(4, 3\) want shape \(…, 4, 3\)"),
        (np.zeros((4,)), r"class numbers want an integer dtype; got \(4,\) .*float64"),
        (np.zeros((3,), int), r"class numbers for scores of shape \(4, 3\) want shape \(…, 4\)"),
        (np.zeros((), int), "class numbers"),
    ):
        with pytest.raises(ValueError, match=wanted):
            xp.run(target_rows, y, t)
