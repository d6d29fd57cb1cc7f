from __future__ import annotations

import numpy as np
import pytest

from xpnet.training.batches import epoch_batches, first_counter, split_rows


def test_batches_hold_each_row_once_and_differ_by_epoch() -> None:
    first, again, second, other = (
        epoch_batches(103, 10, seed, epoch) for seed, epoch in ((0, 1), (0, 1), (0, 2), (1, 1)))
    assert first.shape == (10, 10)
    assert len(np.unique(first)) == 100
    assert first.min() >= 0
    assert first.max() < 103
    np.testing.assert_array_equal(first, again)
    assert (first != second).any()
    assert (first != other).any()
    left_out = [set(range(103)) - {*epoch_batches(103, 10, 0, epoch).ravel()} for epoch in (1, 2)]
    assert left_out[0] != left_out[1]


def test_a_stack_has_the_orders_of_its_seeds() -> None:
    orders = epoch_batches(23, 5, [3, 1, 3], 2)
    assert orders.shape == (4, 3, 5)
    for k, seed in enumerate([3, 1, 3]):
        np.testing.assert_array_equal(orders[:, k], epoch_batches(23, 5, seed, 2))


@pytest.mark.parametrize(("rows", "share", "held"), [(60, 0.25, 15), (7, 0.1, 1), (3, 0.5, 2)])
def test_a_split_has_each_row_on_one_side(rows: int, share: float, held: int) -> None:
    training, validation = split_rows(rows, share, 0)
    assert (len(training), len(validation)) == (rows - held, held)
    np.testing.assert_array_equal(np.sort(np.concatenate([training, validation])), np.arange(rows))
    assert (np.diff(training) > 0).all()
    assert (np.diff(validation) > 0).all()


def test_a_split_follows_from_the_seed_and_is_no_epochs_order() -> None:
    first, again, other = (split_rows(100, 0.2, seed)[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert {*first} != {*other}
    assert {*first} != {*epoch_batches(100, 20, 0, 1)[0]}
    assert {*first} != {*range(20)}


@pytest.mark.parametrize(("rows", "share", "words"), [
    (60, 0.001, "0.001 leaves 0 of 60 rows for validation and 60 for training"),
    (1, 0.9, "leaves 1 of 1 rows for validation and 0 for training"),
    (1, 0.1, "leaves 0 of 1 rows"),
])
def test_a_split_of_nothing(rows: int, share: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        split_rows(rows, share, 0)


def test_the_first_counter() -> None:
    for seed, expected in ((7, [7, 0]), (2**32 - 1, [-1, 0]), ([0, 2**31], [[0, 0], [-2**31, 0]])):
        counter = first_counter(seed)
        assert counter.dtype == np.int32
        np.testing.assert_array_equal(counter, expected)
