from __future__ import annotations

import numpy as np
import pytest
from variants import Variant, make

from xpnet.functional import dropout, dropout_backward, dropout_mask, random_bits

COUNTERS = np.array([[3, 4], [5, 6], [7, 8], [9, 10]], np.int32)


def test_a_mask_keeps_what_is_drawn_at_the_ratio_or_above(xp: Variant) -> None:
    float32 = xp.namespace.float32
    mask = xp.run(lambda c: dropout_mask(c, 7, (3, 5), 0.3, float32), COUNTERS)
    xp.check(mask, random_bits(COUNTERS, 7, (3, 5)) >= 0.3 * 65536, dtype="float32", rtol=0)


def test_a_part_of_a_mask_is_that_of_the_whole(xp: Variant) -> None:
    float32 = xp.namespace.float32
    whole = dropout_mask(COUNTERS, 7, (9, 5), 0.3, np.float32)
    for row in (0, 1, 4, 8, 9):
        part = xp.run(lambda c, row=row: dropout_mask(c, 7, (9 - row, 5), 0.3, float32, first=5 * row), COUNTERS)
        xp.check(part, whole[:, row:], rtol=0)


def test_ratios_and_dtypes() -> None:
    bits = random_bits(COUNTERS[0], 7, (3, 5))
    for ratio in (0, 0.5, 1):
        mask = dropout_mask(COUNTERS[0], 7, (3, 5), ratio, np.float64)
        np.testing.assert_array_equal(mask, bits >= 65536 * ratio)
        assert mask.dtype == np.float64


def test_a_ratio_is_rounded_to_the_nearest_of_65536() -> None:
    bits = random_bits(COUNTERS[0], 7, (50, 50))
    threshold = int(np.sort(bits.ravel())[1000])  # drawn once at least
    for ratio, kept in ((threshold - 0.4, bits >= threshold), (threshold + 0.4, bits >= threshold),
                        (threshold + 0.6, bits > threshold)):
        mask = dropout_mask(COUNTERS[0], 7, (50, 50), ratio / 65536, np.float32)
        np.testing.assert_array_equal(mask, kept)


def test_how_many_are_dropped() -> None:
    mask = dropout_mask(COUNTERS[0], 0, (1000, 100), 0.3, np.float32)
    assert abs(mask.mean() - 0.7) < 4 * np.sqrt(0.3 * 0.7 / mask.size)


def test_forward_and_backward_multiply_by_the_mask(xp: Variant) -> None:
    x, mask, dout = np.array([1.0, -2, 3]), np.array([1.0, 0, 1]), np.array([5.0, 6, 7])
    xp.check(xp.run(dropout, x, mask), [1.0, 0, 3])
    xp.check(xp.run(dropout_backward, dout, x, mask), [5.0, 0, 7])


STACKS = [((), (2,), (2,)), ((2,), (), (2,)), ((1,), (2,), (2,)),
          ((1,), (), (2,)), ((3, 2), (2,), (3, 2))]


@pytest.mark.parametrize("stacks", STACKS)
def test_stacks(xp: Variant, stacks: tuple[tuple[int, ...], ...]) -> None:
    of_x, of_mask, of_dout = stacks
    rng = np.random.default_rng(0)
    x, dout = (rng.standard_normal((*stack, 3, 5)) for stack in (of_x, of_dout))
    mask = rng.integers(0, 2, (*of_mask, 3, 5)) * 1.0
    xp.check(xp.run(dropout, x, mask), x * mask, rtol=0)
    dx = dout * mask
    if of_x == () and of_dout:  # else one a network, also for x[None, ...]
        dx = dx.sum(0)
    xp.check(xp.run(dropout_backward, dout, x, mask), dx, rtol=1e-14)


def test_an_empty_batch(xp: Variant) -> None:
    empty = np.zeros((0, 5))
    xp.check(xp.run(dropout, empty, empty), empty)
    xp.check(xp.run(dropout_backward, empty, empty, empty), empty)


@pytest.mark.parametrize("shapes", [((3, 5), (3, 1)), ((3, 5), (1, 5)), ((4, 3, 5), (2, 3, 5)),
                                    ((5,), (4,))])
def test_a_mask_that_does_not_fit(xp: Variant, shapes: tuple[tuple[int, ...], ...]) -> None:
    x, mask = (np.ones(shape) for shape in shapes)
    with pytest.raises(ValueError, match=r"dropout wants a mask that fits x of shape \(.*got \("):
        xp.run(dropout, x, mask)
    with pytest.raises(ValueError, match=r"dropout_backward wants a mask that fits x"):
        xp.run(dropout_backward, x, x, mask)


def test_what_else_does_not_fit(xp: Variant) -> None:
    x, mask = np.ones((3, 5)), np.ones((2, 3, 5))
    for dout in ((3, 5), (2, 3, 1)):
        with pytest.raises(ValueError, match=r"dropout_backward wants dout of shape \(2, 3, 5\)"):
            xp.run(dropout_backward, np.ones(dout), x, mask)
    with pytest.raises(TypeError, match=r"dropout wants a mask of dtype .*float64; got .*float32"):
        xp.run(dropout, x, mask.astype("float32"))
    with pytest.raises(TypeError, match=r"dropout wants a real floating dtype; got .*int64"):
        xp.run(dropout, x.astype("int64"), x)


def test_arrays_of_two_libraries_are_refused() -> None:
    strict = make("strict")
    with pytest.raises(TypeError, match=r"arrays of one array-API library are wanted"):
        dropout(np.ones((3, 5)), strict.asarray(np.ones((3, 5))))
