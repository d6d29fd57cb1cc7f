from __future__ import annotations

import numpy as np
import pytest
from variants import Variant, installed

from xpnet.functional import affine
from xpnet.functional._array import array_namespace, joined, reshape, unbroadcast


def test_namespace_is_that_of_the_arrays(xp: Variant) -> None:
    x = xp.asarray([1.0])
    for _ in range(2):  # found, then remembered
        assert array_namespace(x, 2.0, None).__name__ == xp.namespace.__name__


def test_libraries_do_not_mix() -> None:
    if not installed("array_api_strict"):
        pytest.skip("array_api_strict is not installed")
    import array_api_strict as strict

    with pytest.raises(TypeError, match=r"one array-API library.*numpy.ndarray and array_api_str"):
        affine(np.ones((1, 2)), strict.ones((2, 3)), strict.ones(3))


def test_lists_are_refused_in_words() -> None:
    with pytest.raises(TypeError, match=r"one array-API library are wanted; got builtins.list"):
        array_namespace([1.0])


def test_a_length_that_is_not_known_is_found(xp: Variant) -> None:
    x = np.arange(12.0).reshape(3, 2, 2)
    xp.check(xp.run(lambda x: reshape(x, (None, 4)), x), x.reshape(3, 4))
    xp.check(xp.run(lambda x: reshape(x, (3, 4)), x), x.reshape(3, 4))
    xp.check(xp.run(lambda x: reshape(x, (None, 4)), x[:0]), x[:0].reshape(0, 4))


class Instance:
    """An array whose namespace belongs to it alone, not to its type."""

    def __init__(self, namespace: object) -> None:
        self.namespace = namespace

    def __array_namespace__(self, *, api_version: str | None = None) -> object:
        return self.namespace


def test_a_namespace_of_one_instance_is_not_remembered_for_its_type() -> None:
    class Namespace:
        __name__ = "of one instance"

    first, second = Namespace(), Namespace()
    assert array_namespace(Instance(first)) is first
    assert array_namespace(Instance(second)) is second


@pytest.mark.parametrize(("full", "shape"), [
    ((4, 3, 2), (3, 2)), ((4, 3, 2), (1, 3, 2)), ((4, 3, 2), (2,)), ((4, 3, 2), (3, 1)),
    ((4, 3, 2), ()), ((4, 3, 2), (4, 3, 2)), ((1, 3, 2), (3, 2)), ((0, 3), (3,)),
])
def test_unbroadcast_sums_what_was_broadcast(
    xp: Variant, full: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    g = np.random.default_rng(0).standard_normal(full)
    # A gradient is linear: that of sum(g * broadcast(x)) is, element by element, a sum of g.
    expected = np.zeros(shape)
    for i in np.ndindex(shape):
        one = np.zeros(shape)
        one[i] = 1
        expected[i] = np.sum(g * one)
    xp.check(xp.run(lambda g: unbroadcast(g, shape), g), expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("count", [1, 8, 9, 64, 65])
def test_any_number_of_arrays_is_joined(xp: Variant, count: int) -> None:
    vectors = [np.arange(k % 3, dtype="float32") + k for k in range(count)]
    xp.check(xp.run(lambda *arrays: joined(arrays), *vectors), np.concatenate(vectors), rtol=0)
