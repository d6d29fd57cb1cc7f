from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from variants import Host, Variant, installed, make

from xpnet.testing._host import (
    Draws,
    float64_is_on,
    float64_switched,
    has_float64,
    is_array,
    quiet,
)

SHAPES = ((), (5,), (2, 3), (0, 4))


# Draws ------------------------------------------------------------------------------------------


def directions(xp: Variant, seed: int, dtype: str) -> list[Any]:
    draws = Draws(seed)
    return [draws.direction(xp.asarray(np.zeros(shape), dtype)) for shape in SHAPES]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_directions_are_the_same_everywhere(dtype: str, eager: Variant) -> None:
    expected = directions(make("numpy"), 3, "float64")
    # In library, dtype, shape and device like what they are drawn for.
    eager.check_all(directions(eager, 3, dtype), expected, dtype=dtype, rtol=0)


def test_directions_follow_from_the_seed() -> None:
    first, again, other = (
        np.concatenate([np.ravel(d) for d in directions(make("numpy"), seed, "float64")])
        for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.any(first == other)
    assert len(set(first.tolist())) == len(first)


def test_magnitudes_and_signs() -> None:
    n = 10_000
    drawn = Draws(0).direction(np.zeros(n))
    size = np.abs(drawn)
    assert 0.5 <= size.min() < 0.501
    assert 1.499 < size.max() <= 1.5
    # Uniform: of mean 1 and variance 1/12; as many of one sign as of the other.
    # Within five standard errors.
    assert abs(size.mean() - 1) < 5 * np.sqrt(1 / 12 / n)
    assert abs(size.var() - 1 / 12) < 5 * np.sqrt(1 / 180 / n)
    assert abs(np.sign(drawn).mean()) < 5 / np.sqrt(n)
    for side in (drawn[drawn > 0], -drawn[drawn < 0]):
        assert side.min() < 0.501
        assert side.max() > 1.499


@pytest.mark.parametrize(("n", "count"), [(10, 3), (1000, 64), (5, 5), (5, 6), (1, 1), (0, 4)])
def test_choices(n: int, count: int) -> None:
    found = Draws(0).choice(n, count)
    assert len(found) == len(set(found)) == min(n, count)
    assert found == sorted(found)
    assert all(type(k) is int and 0 <= k < n for k in found)
    assert found == Draws(0).choice(n, count)
    if n == 1000:
        assert found != Draws(1).choice(n, count)
        assert max(found) > 500


# float64 ----------------------------------------------------------------------------------------


def test_every_library_has_float64(eager: Variant) -> None:
    x = eager.asarray([1.0], "float32")
    assert has_float64(x)
    assert float64_is_on(eager.namespace)
    with float64_switched(eager.namespace, on=True):
        eager.check(eager.namespace.astype(x, eager.namespace.float64), [1.0], dtype="float64")
    assert float64_is_on(eager.namespace)


def test_a_device_without_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    class Namespace:
        __name__ = "array_api_compat.torch"
        float64 = "float64"

        def __init__(self, astype: Callable[..., Any]) -> None:
            self.astype = astype

    def refuses(x: Host, dtype: Any) -> Any:
        raise TypeError("Cannot convert a MPS Tensor to float64")

    def truncates(x: Host, dtype: Any) -> Any:
        return np.asarray(x, "float32")

    for astype in (refuses, truncates):
        namespace = Namespace(astype)
        monkeypatch.setattr("xpnet.testing._host.array_namespace", lambda x, n=namespace: n)
        assert not has_float64(np.zeros(1, "float32"))


@pytest.mark.skipif(not installed("jax"), reason="jax is not installed")
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("on", [False, True])
def test_jax_is_switched_and_restored(before: bool, on: bool) -> None:
    xp = make("jax").namespace
    import jax

    with jax.enable_x64(before):
        with float64_switched(xp, on):
            assert float64_is_on(xp) is on
            assert (xp.asarray([1.0]).dtype == xp.float64) is on
        assert float64_is_on(xp) is before
        with pytest.raises(KeyboardInterrupt), float64_switched(xp, on):
            raise KeyboardInterrupt
        assert float64_is_on(xp) is before
        assert bool(jax.config.jax_enable_x64) is before
        assert has_float64(xp.ones((1,), dtype=xp.float32))
        assert float64_is_on(xp) is before
    assert float64_is_on(xp)


# The rest ---------------------------------------------------------------------------------------


def test_warnings_are_quiet_for_a_while() -> None:
    with quiet():
        assert np.isnan(np.log(np.asarray([-1.0]))[0])
        assert np.isinf(np.ones(1) / 0)[0]
    with pytest.warns(RuntimeWarning, match="invalid value"):
        np.log(np.asarray([-1.0]))


def test_what_an_array_is(eager: Variant) -> None:
    assert is_array(eager.asarray([1.0]))
    assert is_array(eager.asarray(1.0))
    for other in (1.0, [1.0], "1", None, np.float64(1)):
        assert not is_array(other)
