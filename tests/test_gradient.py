from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from variants import Variant, installed

from xpnet import numerical_gradient


def cubes(xp: Variant) -> Any:
    return lambda x: xp.namespace.sum(x * x * x)


def test_the_books_example(eager: Variant) -> None:
    # Chapter 4.4: x0² + x1² has the gradient (6, 8) at (3, 4).
    x = eager.asarray([3.0, 4.0])
    gradient = numerical_gradient(lambda x: eager.namespace.sum(x**2), x)
    eager.check(gradient, [6.0, 8.0], rtol=1e-9)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (2, 1, 3), (0, 3)])
def test_functions_of_their_argument(
    eager: Variant, shape: tuple[int, ...], dtype: str, scale: float
) -> None:
    host = np.asarray(scale * np.random.default_rng(0).standard_normal(shape), dtype)
    x = eager.asarray(host)
    # Rounding and truncation both leave eps^(2/3), relative to the largest.
    error = 20 * float(np.finfo(dtype).eps) ** (2 / 3)
    expected = 3 * host.astype("float64") ** 2
    atol = error * float(np.abs(expected).max(initial=0))
    eager.check(numerical_gradient(cubes(eager), x), expected, dtype=dtype, rtol=0, atol=atol)
    eager.check(x, host, rtol=0)  # restored


def test_the_books_style_ignores_the_argument(eager: Variant) -> None:
    x = eager.asarray([[3.0, 4.0], [0.0, -1.0]])
    def f(_: Any) -> Any:
        return eager.namespace.sum(x**2)
    if eager.backend.name == "jax":
        with pytest.raises(TypeError, match=r"does not read its argument, and x .* in place"):
            numerical_gradient(f, x)
    else:
        eager.check(numerical_gradient(f, x), [[6.0, 8], [0, -2]], rtol=1e-9, atol=1e-10)
        eager.check(x, [[3.0, 4], [0, -1]], rtol=0)


def test_read_only_arrays_are_copied() -> None:
    x = np.array([3.0, 4.0])
    x.flags.writeable = False
    np.testing.assert_allclose(numerical_gradient(lambda x: (x**2).sum(), x), [6, 8], rtol=1e-9)
    with pytest.raises(TypeError, match="does not read its argument"):
        numerical_gradient(lambda _: (x**2).sum(), x)


@pytest.mark.skipif(not installed("jax"), reason="jax is not installed")
def test_a_gradient_of_zeros_is_not_mistaken_for_an_argument_unread() -> None:
    import jax.numpy as jnp

    x = jnp.asarray([-1.0, -2.0])
    for f in (lambda x: jnp.sum(jnp.maximum(x, 0)), lambda x: jnp.sum(jnp.where(x > 0, x, 0)),
              lambda x: 0 * jnp.sum(x), lambda x: jnp.sum(jnp.floor(x + 0.5))):
        assert not numerical_gradient(f, x).any()
    import jax

    with pytest.raises(TypeError, match="does not read its argument"):
        numerical_gradient(jax.jit(lambda _: jnp.sum(x)), x)


def test_a_mutable_array_is_restored_when_f_raises(eager: Variant) -> None:
    x = eager.asarray([3.0, 4.0])
    calls = 0

    def f(x: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return eager.namespace.sum(x)

    with pytest.raises(KeyboardInterrupt):
        numerical_gradient(f, x)
    eager.check(x, [3.0, 4.0], rtol=0)


def test_a_view_is_changed_where_it_lies() -> None:
    whole = np.arange(12.0).reshape(3, 4)
    part = whole[:, ::2]
    gradient = numerical_gradient(lambda _: (whole**2).sum(), part)
    np.testing.assert_allclose(gradient, 2 * part, rtol=1e-8, atol=1e-8)
    np.testing.assert_array_equal(whole, np.arange(12.0).reshape(3, 4))


def test_the_step(eager: Variant) -> None:
    seen: list[float] = []

    def f(x: Any) -> float:
        seen.append(float(x[0]))
        return 0.0 * float(x[0])

    root = np.finfo(np.float64).eps ** (1 / 3)
    # The larger of the element and the rms: 4, above sqrt(18/2); sqrt(2), above 0.
    for host, scale in (([8.0], 8), ([0.0], 1), ([0.0, 2.0], np.sqrt(2)), ([1e-9], 1e-9),
                        ([-4.0, 1.0], 4), ([1.0, -1.0, 2.0], np.sqrt(2))):
        seen.clear()
        numerical_gradient(f, eager.asarray(host))
        assert seen[0] - host[0] == pytest.approx(root * scale, rel=1e-5)
        assert host[0] - seen[1] == pytest.approx(root * scale, rel=1e-5)
    seen.clear()
    numerical_gradient(f, eager.asarray([8.0]), h=0.5)
    assert seen[:2] == [8.5, 7.5]


def test_the_difference_is_divided_by_the_step_taken() -> None:
    # In float32, 1 + 1e-4 and 1 - 1e-4 are 2.0003e-4 apart: the slope would be off by 1.2e-4.
    gradient = numerical_gradient(lambda x: x.sum(), np.array([1.0], np.float32), h=1e-4)
    assert gradient.dtype == np.float32
    assert abs(gradient[0] - 1) < 1e-6


def test_a_step_that_is_a_numpy_scalar_does_not_change_the_dtype(eager: Variant) -> None:
    x = eager.asarray(np.array([1.0, 2.0], np.float32))
    gradient = numerical_gradient(cubes(eager), x, h=np.float64(1e-2))
    eager.check(gradient, [3.0, 12.0], dtype="float32", rtol=1e-3)


def test_half_precision_divides_before_it_rounds() -> None:
    for x, slope in ((1e4, 100.0), (1e-4, 1e-3)):
        gradient = numerical_gradient(
            lambda x, slope=slope: slope * float(x[0]), np.array([x], np.float16))  # type: ignore[misc]
        np.testing.assert_allclose(gradient, [slope], rtol=1e-2)


@pytest.mark.filterwarnings("ignore:overflow")
def test_what_overflows_is_refused() -> None:
    for x in (np.array([3.4e38], np.float32), np.array([1e-45], np.float32)):
        with pytest.raises(ValueError, match="its default step is lost in float32 at this x"):
            numerical_gradient(lambda x: x.sum(), x)


def test_elements_that_share_memory_are_refused() -> None:
    row = np.ones(4)
    tricks = np.lib.stride_tricks
    for x in (tricks.sliding_window_view(row, 2, writeable=True),
              tricks.as_strided(row, (3,), (0,))):
        with pytest.raises(ValueError, match="elements of this x share their memory"):
            numerical_gradient(lambda x: (x**2).sum(), x)
        assert row.tolist() == [1.0, 1, 1, 1]


def test_extreme_scales_neither_overflow_nor_vanish() -> None:
    for value in (1e30, 1e-30):
        x = np.array([value, 0], np.float32)
        gradient = numerical_gradient(lambda x: x.astype(float).sum(), x)
        np.testing.assert_allclose(gradient, [1, 1], rtol=1e-2)


@pytest.mark.parametrize(("x", "message"), [
    (np.array([1, 2]), "real floating dtype; got .*int64"),
    (np.array([1 + 2j]), "real floating dtype; got .*complex128"),
])
def test_dtypes_without_a_gradient(eager: Variant, x: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        numerical_gradient(cubes(eager), eager.asarray(x))


def test_nonsense(eager: Variant) -> None:
    f, x = cubes(eager), eager.asarray([1.0, 2.0])
    with pytest.raises(ValueError, match="f to return a scalar; got"):
        numerical_gradient(lambda x: x, x)
    for h in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="a step h above 0; got"):
            numerical_gradient(f, x, h=h)
    with pytest.raises(ValueError, match=r"a step h of 1e-20 is lost in .*float64"):
        numerical_gradient(f, x, h=1e-20)
    with pytest.raises(ValueError, match=r"a step h of 1e-16 is lost in .*float64"):
        numerical_gradient(f, eager.asarray([1.0]), h=1e-16)
    with pytest.raises(ValueError, match="finite numbers; x holds NaN or infinity"):
        numerical_gradient(f, eager.asarray([1.0, np.nan]))
    eager.check(x, [1.0, 2.0], rtol=0)


@pytest.mark.skipif(not installed("torch"), reason="torch is not installed")
def test_tensors_on_an_autograd_tape_are_refused() -> None:
    import torch

    with pytest.raises(TypeError, match=r"requires_grad=True: pass x.detach"):
        numerical_gradient(torch.sum, torch.ones(2, requires_grad=True))


@pytest.mark.skipif(not installed("jax"), reason="jax is not installed")
def test_tracers_are_refused() -> None:
    import jax

    with pytest.raises(TypeError, match="numerical_gradient got a tracer"):
        jax.jit(lambda x: numerical_gradient(jax.numpy.sum, x))(jax.numpy.ones(2))
