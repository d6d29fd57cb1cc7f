from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from autograd import gradients
from numpy.typing import NDArray
from variants import Variant, make

from xpnet.functional import layer_normalization, layer_normalization_backward

EPS = 0.01


def normal(seed: int, *shapes: tuple[int, ...]) -> list[NDArray[Any]]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) + 0.5 for shape in shapes]


def torch_layer_norm(torch: Any, x: Any, gamma: Any, beta: Any) -> Any:
    normalized = torch.nn.functional.layer_norm(x, x.shape[-1:], eps=EPS)
    return normalized * gamma[..., None, :] + beta[..., None, :]


def both(x: Any, gamma: Any, beta: Any, dout: Any) -> Any:
    """Go forward, and backward with and without what that hands on."""
    y, mean, var = layer_normalization(x, gamma, beta, eps=EPS, return_moments=True)
    inputs = dout, x, gamma, beta
    return (y, mean, var, layer_normalization(x, gamma, beta, eps=EPS),
            *layer_normalization_backward(*inputs, eps=EPS),
            *layer_normalization_backward(*inputs, eps=EPS, mean=mean, var=var))


STACKS = [  # stack axes of x, gamma, beta
    ((), (), ()), ((), (2,), (2,)), ((2,), (), (2,)), ((2,), (2,), ()), ((), (), (2,)),
]


@pytest.mark.parametrize("stacks", STACKS)
def test_values_and_gradients_are_autograds(
    xp: Variant, stacks: tuple[tuple[int, ...], ...]
) -> None:
    torch = pytest.importorskip("torch")
    sx, sg, sb = stacks
    out = (2,) if any(stacks) else ()
    x, gamma, beta, dout = normal(0, (*sx, 4, 6), (*sg, 6), (*sb, 6), (*out, 4, 6))
    y = torch_layer_norm(torch, *map(torch.asarray, (x, gamma, beta))).numpy()
    expected = gradients(torch_layer_norm, dout, (x, gamma, beta))
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    xp.check_all(xp.run(both, x, gamma, beta, dout), (y, mean, var, y, *expected, *expected),
                 rtol=1e-10, atol=1e-13)


def test_float32(xp: Variant) -> None:
    given = [a.astype("float32") for a in normal(1, (4, 6), (6,), (6,), (4, 6))]
    x, gamma, beta, dout = given
    expected = gradients(torch_layer_norm, dout, (x, gamma, beta))
    found = xp.run(both, *given)
    xp.check_all((*found[4:7], *found[7:]), (*expected, *expected), dtype="float32", rtol=1e-4,
                 atol=1e-5)


def test_x_none_gives_one_dx_a_network(xp: Variant) -> None:
    x, gamma, beta, dout = normal(2, (1, 4, 6), (2, 6), (2, 6), (2, 4, 6))
    dx, _, _ = xp.run(layer_normalization_backward, dout, x, gamma, beta)
    members = [layer_normalization_backward(dout[k], x[0], gamma[k], beta[k])[0] for k in range(2)]
    xp.check(dx, np.stack(members), rtol=1e-11, atol=1e-13)


def test_default_eps(xp: Variant) -> None:
    x, ones, zeros = np.array([[1.0, 3.0]]), np.ones(2), np.zeros(2)
    y = 1 / math.sqrt(1 + 1e-5)
    xp.check(xp.run(layer_normalization, x, ones, zeros), [[-y, y]], rtol=1e-14)
    dx, dgamma, dbeta = xp.run(layer_normalization_backward, x, x, ones, zeros)
    d = 1e-5 / (1 + 1e-5) ** 1.5
    xp.check_all((dgamma, dbeta), ([-y, 3 * y], [1.0, 3]), rtol=1e-14)
    xp.check(dx, [[-d, d]], rtol=1e-8)


def test_empty_batches(xp: Variant) -> None:
    x, ones, zeros = np.zeros((0, 6)), np.ones(6), np.zeros(6)
    column = np.zeros((0, 1))
    xp.check_all(xp.run(both, x, ones, ones, x),
                 (x, column, column, x, x, zeros, zeros, x, zeros, zeros))


def test_a_mean_that_is_large_against_the_variance() -> None:
    x = (np.random.default_rng(0).standard_normal((5, 10000)) + 1e5).astype("float32")
    ones = np.ones(10000, "float32")
    _, mean, var = layer_normalization(x, ones, ones, return_moments=True)
    exact = x.astype("float64")
    np.testing.assert_allclose(mean, exact.mean(-1, keepdims=True), rtol=1e-7)
    np.testing.assert_allclose(var, exact.var(-1, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize("largest", [300, 60000])  # of which the square, the variance overflow
def test_half_precision_computes_in_float32(largest: float) -> None:
    torch = pytest.importorskip("torch")
    x, dout = np.zeros((1, 100), "float16"), np.ones((1, 100), "float16")
    x[0, 0], dout[0, 1] = largest, 0
    given = x, *np.ones((2, 100), "float16"), dout
    with np.errstate(over="ignore"):  # of the variance
        y, _, _, _, *grads = both(*given)
    exact = [a.astype("float64") for a in given]
    np.testing.assert_allclose(y, torch_layer_norm(torch, *map(torch.asarray, exact[:3])), rtol=2e-3)
    for a, e in zip(grads, 2 * gradients(torch_layer_norm, exact[3], exact[:3]), strict=True):
        assert a.dtype == np.float16
        np.testing.assert_allclose(a, e, rtol=5e-3, atol=1e-6)


@pytest.mark.parametrize("shapes", [((4, 6), (5,), (6,)), ((4, 6), (6,), (1,)), ((6,), (6,), (6,)),
                                    ((4, 6), (), (6,)), ((4, 6), (6,), ())])
def test_shapes_that_do_not_fit(xp: Variant, shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match=r"layer_normalization wants x of shape .* got \("):
        xp.run(layer_normalization, *(np.ones(shape) for shape in shapes))


def test_what_else_does_not_fit(xp: Variant) -> None:
    x, c = np.ones((4, 6)), np.ones(6)
    for shape in ((4, 1), (1, 6), (2, 4, 6)):
        with pytest.raises(ValueError, match=r"like its output, of 2 axes, the last \(4, 6\); got"):
            xp.run(layer_normalization_backward, np.ones(shape), x, c, c)
    with pytest.raises(TypeError, match=r"of one dtype; got .*float64, .*float32, .*float64"):
        xp.run(layer_normalization, x, c.astype("float32"), c)
    with pytest.raises(TypeError, match=r"of one dtype; got .*float64, .*float32"):
        xp.run(layer_normalization_backward, x.astype("float32"), x, c, c)


def test_arrays_of_two_libraries_are_refused() -> None:
    strict = make("strict")
    with pytest.raises(TypeError, match=r"arrays of one array-API library are wanted"):
        layer_normalization(np.ones((4, 3)), np.ones(3), strict.asarray(np.ones(3)))
