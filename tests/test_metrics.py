from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from variants import Variant

from xpnet.metrics import (
    accuracy,
    binary_accuracy,
    confusion_matrix,
    r2_score,
    top_k_accuracy,
)
from xpnet.metrics.confusion_matrix import ROWS


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_accuracy(xp: Variant, dtype: str) -> None:
    y = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], dtype)
    t = np.array([1, 1, 1, 0])
    for labels in (t, t.astype("uint8"), np.eye(2)[t], np.eye(2, dtype=int)[t]):
        xp.check(xp.run(accuracy, y, labels), 0.75, dtype=dtype)


def test_a_stack_has_one_each(xp: Variant) -> None:
    y = np.array([[[0.0, 1], [1, 0]], [[1.0, 0], [1, 0]]])
    xp.check(xp.run(accuracy, y, np.array([1, 0])), [1.0, 0.5])


@pytest.mark.parametrize("metric", [accuracy, lambda y, t: top_k_accuracy(y, t, 1)])
def test_counts_are_not_lost_in_half_precision(metric: Any) -> None:
    # float16 counts in steps of 8 from 8192 on, and ends at 65504.
    y = np.zeros((70001, 2), np.float16)
    t = np.ones(70001, int)
    t[0] = 0
    assert metric(y, t) == np.float32(1) / np.float32(70001)


def test_an_empty_batch_is_0(xp: Variant) -> None:
    xp.check(xp.run(accuracy, np.zeros((0, 3)), np.zeros(0, int)), 0.0)


def test_labels_that_do_not_fit(xp: Variant) -> None:
    with pytest.raises(ValueError, match=r"class numbers for scores of shape \(4, 3\) .* got \(3,\)"):
        xp.run(accuracy, np.zeros((4, 3)), np.zeros(3, int))
    with pytest.raises(ValueError, match=r"labels for scores of shape \(4, 3\) .* got \(4, 5\)"):
        xp.run(accuracy, np.zeros((4, 3)), np.zeros((4, 5)))
    with pytest.raises(ValueError, match=r"class numbers want an integer dtype; got \(4,\) .*float64"):
        xp.run(accuracy, np.zeros((4, 3)), np.zeros(4))
    for t in (np.zeros((3, 4), int), np.zeros((3, 4, 3))):
        with pytest.raises(ValueError, match=r"for scores of shape \(2, 4, 3\) .* got \(3, 4"):
            xp.run(accuracy, np.zeros((2, 4, 3)), t)


@pytest.mark.parametrize("metric", [accuracy, confusion_matrix, lambda y, t: top_k_accuracy(y, t, 1)])
def test_one_column_has_no_classes(metric: Any) -> None:
    y = np.ones((4, 1))
    for t in (y, np.zeros(4, int)):
        with pytest.raises(ValueError, match=r"wants scores of two classes or more, .* got \(4, 1\)"):
            metric(y, t)


def test_one_row(xp: Variant) -> None:
    xp.check(xp.run(accuracy, np.array([0.1, 0.9]), np.array(1)), 1.0)


SCORES = np.array([[0.1, 0.9, 0.5], [0.8, 0.2, 0.3], [0.3, 0.7, 0.9], [0.6, 0.4, 0.5]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_top_k_accuracy(xp: Variant, dtype: str) -> None:
    t = np.array([2, 1, 2, 0])  # second, last, first, first
    for labels in (t, t.astype("uint64"), np.eye(3)[t]):
        for k, share in ((1, 0.5), (2, 0.75), (3, 1)):
            out = xp.run(lambda y, t, k=k: top_k_accuracy(y, t, k), SCORES.astype(dtype), labels)
            xp.check(out, share, dtype=dtype)


def test_the_first_of_equal_scores_is_the_best() -> None:
    y = np.array([[1.0, 2, 2, 2, 0]] * 5)
    t = np.arange(5)  # from first to last: 1, 2, 3, 0, 4
    for k in range(1, 6):
        assert top_k_accuracy(y, t, k) == k / 5
    assert top_k_accuracy(y[:2], np.array([3, 0]), 3) == 0.5


def test_top_1_is_the_accuracy() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, (200, 4)).astype(float)  # many are equal
    y[rng.random((200, 4)) < 0.1] = -np.inf
    t = rng.integers(-1, 5, 200)
    hits = [accuracy(y[k], t[k]) for k in range(200)]
    assert [top_k_accuracy(y[k], t[k], 1) for k in range(200)] == hits
    assert 0.1 < np.mean(hits) < 0.5


def test_nan_and_labels_outside_are_not_among_any(xp: Variant) -> None:
    y = np.array([[np.nan, 1, 2], [-np.inf, -np.inf, -np.inf], [0, -np.inf, 2]])
    for t, share in (([0, -1, 3], 0.0), ([2, 1, 1], 2 / 3), ([1, 2, 0], 1 / 3)):
        xp.check(xp.run(lambda y, t: top_k_accuracy(y, t, 2), y, np.array(t)), share)


def test_top_k_of_a_stack_of_one_row_and_of_none(xp: Variant) -> None:
    def top_2(y: Any, t: Any) -> Any:
        return top_k_accuracy(y, t, 2)

    xp.check(xp.run(top_2, np.stack([SCORES, -SCORES]), np.array([2, 1, 2, 0])), [0.75, 0.5])
    xp.check(xp.run(top_2, SCORES[0], np.array(2)), 1.0)
    xp.check(xp.run(top_2, SCORES[:0], np.zeros(0, int)), 0.0)


def test_k_is_at_most_the_classes() -> None:
    t = np.zeros(4, int)
    of_numpy: Any = np.int64(3)
    assert top_k_accuracy(SCORES, t, of_numpy) == 1
    for k in (0, 4, 1.5, True):
        with pytest.raises(ValueError, match=f"top_k_accuracy wants k of 1 … 3, .* got {k}"):
            top_k_accuracy(SCORES, t, k)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"k of 1 … 3, the classes; got 5"):
        top_k_accuracy(SCORES, t)
    with pytest.raises(ValueError, match=r"class numbers for scores of shape \(4, 3\) .* got \(3,\)"):
        top_k_accuracy(SCORES, t[:3], 2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_binary_accuracy(xp: Variant, dtype: str) -> None:
    y = np.array([[0.5, -0.5], [0.0, -0.1], [-3.0, 2.0]], dtype)
    t = np.array([[1, 1], [1, 0], [0, 0]])
    for labels in (t, t.astype(bool), t.astype("uint8"), t.astype("float32")):
        xp.check(xp.run(binary_accuracy, y, labels), 4 / 6, dtype=dtype)


def test_binary_accuracy_of_one_column_stacks_and_nothing(xp: Variant) -> None:
    y = np.array([[[1.0], [-1]], [[1], [1]]])
    xp.check(xp.run(binary_accuracy, y[0, ...], np.array([1, 1])), 0.5)
    xp.check(xp.run(binary_accuracy, y, np.array([1, 0])), [1.0, 0.5])
    xp.check(xp.run(binary_accuracy, y[0, :0, :], np.zeros(0, int)), 0.0)


def test_no_score_is_right_about_nan_or_another_label(xp: Variant) -> None:
    y = np.array([[np.nan], [np.nan], [1.0], [-1.0], [1.0]])
    xp.check(xp.run(binary_accuracy, y, np.array([0, 1, 2, -1, 0])), 0.0)


def test_binary_accuracy_wants_labels_that_fit() -> None:
    with pytest.raises(ValueError, match=r"binary_accuracy wants targets of shape \(…, 4, 3\)"):
        binary_accuracy(SCORES, np.zeros(4))


def test_binary_accuracy_counts_in_single_precision() -> None:
    t = np.ones((70001, 1))
    t[0] = 0
    share = binary_accuracy(np.zeros((70001, 1), np.float16), t)
    assert share.dtype == np.float32
    assert share == np.float32(70000) / np.float32(70001)


def counts_dtype(xp: Variant) -> str:
    return str(xp.namespace.arange(2).dtype).rpartition(".")[2]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_confusion_matrix(xp: Variant, dtype: str) -> None:
    t = np.array([2, 1, 2, 0])  # taken for 1, 0, 2, 0
    expected = [[1, 0, 0], [1, 0, 0], [0, 1, 1]]
    for labels in (t, t.astype("uint64"), np.eye(3)[t]):
        out = xp.run(confusion_matrix, SCORES.astype(dtype), labels)
        xp.check(out, expected, dtype=counts_dtype(xp))


def test_confusion_of_a_stack_of_one_row_and_of_none(xp: Variant) -> None:
    def check(y: Any, t: Any, expected: Any) -> None:
        xp.check(xp.run(confusion_matrix, y, t), expected, dtype=counts_dtype(xp))

    y, t = np.stack([SCORES, -SCORES]), np.array([2, 1, 2, 0])
    members = [[[1, 0, 0], [1, 0, 0], [0, 1, 1]], [[0, 1, 0], [0, 1, 0], [2, 0, 0]]]
    check(y, t, members)
    check(y, np.stack([t, t]), members)
    check(SCORES[0], np.array(2), [[0, 0, 0], [0, 0, 0], [0, 1, 0]])
    check(SCORES[:0], t[:0], np.zeros((3, 3)))
    check(SCORES, np.array([2, -1, 3, 0]), [[1, 0, 0], [0, 0, 0], [0, 1, 0]])  # outside: not counted


def test_confusion_of_more_rows_than_are_counted_at_once() -> None:
    rng = np.random.default_rng(0)
    n = 2 * 2**16 + 5
    y, t = rng.random((n, 3)).astype(np.float16), rng.integers(0, 3, n)
    expected = np.zeros((3, 3), int)
    np.add.at(expected, (t, y.argmax(-1)), 1)
    np.testing.assert_array_equal(confusion_matrix(y, t), expected)
    assert n > ROWS  # and these are no more than float32 counts exactly:
    assert np.float32(ROWS) + np.float32(1) == ROWS + 1


def r2(y: Any, t: Any) -> Any:
    """The formula, output by output."""
    return np.mean(1 - ((t - y)**2).sum(0) / ((t - t.mean(0))**2).sum(0))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_r2_score(xp: Variant, dtype: str) -> None:
    # The example of scikit-learn's documentation, whose outputs have 0.96… and 0.908…
    t = np.array([[0.5, 1], [-1, 1], [7, -6]])
    y = np.array([[0, 2], [-1, 2], [8, -5]], dtype)
    xp.check(xp.run(r2_score, y, t), 0.936800526662278, dtype=dtype,
             rtol=1e-12 if dtype == "float64" else 1e-6)


def test_r2_of_a_stack_equals_its_members(xp: Variant) -> None:
    rng = np.random.default_rng(0)
    y, t = rng.standard_normal((2, 6, 3)), rng.standard_normal((2, 6, 3))
    xp.check(xp.run(r2_score, y, t), [r2(y[k], t[k]) for k in range(2)], rtol=1e-12)
    xp.check(xp.run(r2_score, y, t[0]), [r2(y[k], t[0]) for k in range(2)], rtol=1e-12)
    one, flat = y[:, :, :1], t[0, :, 0]
    xp.check(xp.run(r2_score, one, flat), [r2(one[k], flat[:, None]) for k in range(2)], rtol=1e-12)


def test_r2_of_targets_that_are_all_the_same(xp: Variant) -> None:
    t = np.full((3, 2), 0.1)  # whose mean, computed, is not 0.1
    t[:, 1] = [1, 2, 3]
    xp.check(xp.run(r2_score, t, t), 1.0)
    y = t + [[1.0, 0]] * 3
    xp.check(xp.run(r2_score, y, t), 0.5)
    xp.check(xp.run(r2_score, t[:1], t[:1]), 1.0)
    xp.check(xp.run(r2_score, y[:1], t[:1]), 0.5)
    xp.check(xp.run(r2_score, t[:0], t[:0]), 0.0)


def test_r2_far_from_0() -> None:
    rng = np.random.default_rng(0)
    t = rng.integers(0, 9, (50, 1)).astype(np.float32)
    y = t + rng.integers(-1, 2, (50, 1)).astype(np.float32)
    far = 2**23 - 9  # up to where float32 still holds every integer
    np.testing.assert_allclose(r2_score(y + np.float32(far), t + np.float32(far)), r2(y, t), rtol=1e-6)


def test_r2_sums_in_single_precision() -> None:
    t = np.where(np.arange(4000) % 2 == 0, 200, -200).astype(np.float16)
    score = r2_score((t / 2)[:, None], t)
    assert score.dtype == np.float32
    assert score == 0.75


def test_r2_wants_targets_that_fit() -> None:
    with pytest.raises(ValueError, match=r"r2_score wants targets of shape \(…, 4, 3\)"):
        r2_score(SCORES, np.zeros(4))


@pytest.mark.parametrize("metric", [
    accuracy, binary_accuracy, confusion_matrix, r2_score, top_k_accuracy])
def test_integers_are_no_scores(metric: Any) -> None:
    with pytest.raises(TypeError, match=f"{metric.__name__} wants a real floating dtype; got int"):
        metric(np.zeros((4, 6), int), np.zeros((4, 6)))
