from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from autograd import gradients
from numpy.typing import NDArray
from variants import Variant, make

from xpnet.functional import (
    batch_normalization,
    batch_normalization_backward,
    batch_normalization_inference,
    batch_normalization_inference_backward,
)

EPS = 0.01
SHAPES = {-1: (7, 3), -3: (5, 3, 2, 4)}
"""Of one network's batch with 3 channels, by their axis."""
axes = pytest.mark.parametrize("axis", [-1, -3])


def normal(seed: int, *shapes: tuple[int, ...]) -> list[NDArray[Any]]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) + 0.5 for shape in shapes]


def torch_training(torch: Any, x: Any, gamma: Any, beta: Any) -> Any:
    return torch.nn.functional.batch_norm(x, None, None, gamma, beta, training=True, eps=EPS)


def train(axis: int) -> Any:
    """Give a function that goes forward, and backward with and without what that hands on."""
    def both(x: Any, gamma: Any, beta: Any, dout: Any) -> Any:
        out = batch_normalization(x, gamma, beta, axis=axis, eps=EPS)
        inputs: Any = dout, x, gamma, beta
        return (*out, *batch_normalization_backward(*inputs, axis=axis, eps=EPS),
                *batch_normalization_backward(*inputs, axis=axis, eps=EPS, mean=out[1], var=out[2]))

    return both


@pytest.mark.parametrize(("axis", "dtype"), [(-1, "float64"), (-1, "float32"), (-3, "float64")])
def test_training_is_autograds(xp: Variant, axis: int, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    shape = SHAPES[axis]
    x, gamma, beta, dout = (a.astype(dtype) for a in normal(0, shape, (3,), (3,), shape))
    tolerance: Any = ({"rtol": 1e-10, "atol": 1e-13} if dtype == "float64"
                      else {"rtol": 1e-4, "atol": 1e-5})
    found = xp.run(train(axis), x, gamma, beta, dout)
    channels = np.moveaxis(x, axis, 0).reshape(3, -1).astype("float64")
    y = torch_training(torch, *(torch.asarray(a, dtype=torch.float64) for a in (x, gamma, beta)))
    expected = gradients(torch_training, dout, (x, gamma, beta))
    xp.check_all(found, (y.numpy(), channels.mean(1), channels.var(1), *expected, *expected),
                 dtype=dtype, **tolerance)


@axes
def test_inference_is_autograds(xp: Variant, axis: int) -> None:
    torch = pytest.importorskip("torch")
    shape = SHAPES[axis]
    x, gamma, beta, mean, dout = normal(1, shape, (3,), (3,), (3,), shape)
    var = np.array([0.5, 1.5, 2.5])

    def both(x: Any, gamma: Any, beta: Any, mean: Any, var: Any, dout: Any) -> Any:
        y = batch_normalization_inference(x, gamma, beta, mean, var, axis=axis, eps=EPS)
        return (y, *batch_normalization_inference_backward(
            dout, x, gamma, beta, mean, var, axis=axis, eps=EPS))

    def torch_inference(torch: Any, x: Any, gamma: Any, beta: Any) -> Any:
        return torch.nn.functional.batch_norm(x, torch.asarray(mean), torch.asarray(var), gamma, beta,
                                              training=False, eps=EPS)

    y = torch_inference(torch, *map(torch.asarray, (x, gamma, beta)))
    expected = gradients(torch_inference, dout, (x, gamma, beta))
    xp.check_all(xp.run(both, x, gamma, beta, mean, var, dout), (y.numpy(), *expected),
                 rtol=1e-10, atol=1e-13)


def test_default_axis_and_eps(xp: Variant) -> None:
    x, ones, zeros = np.array([[1.0, 2.0], [3.0, 6.0]]), np.ones(2), np.zeros(2)

    def everything(x: Any, mean: Any, var: Any, ones: Any, zeros: Any) -> Any:
        return (*batch_normalization(x, ones, zeros),
                *batch_normalization_backward(x, x, ones, zeros),
                batch_normalization_inference(x, ones, zeros, mean, var),
                batch_normalization_inference_backward(x, x, ones, zeros, mean, var)[0])

    given = np.array([2.0, 4.0]), np.array([1.0, 4.0])
    y, mean, var, dx, dgamma, dbeta, of_given, dx_given = xp.run(everything, x, *given, ones, zeros)
    one, four = math.sqrt(1 + 1e-5), math.sqrt(4 + 1e-5)
    xp.check_all((y, of_given), [[[-1 / one, -2 / four], [1 / one, 2 / four]]] * 2, rtol=1e-14)
    xp.check_all((mean, var), given, rtol=1e-14)
    # x - mean is (-1, 1) and (-2, 2): of it the statistics leave only the share eps / (var + eps).
    rest = np.array([1e-5 / one**3, 2e-5 / four**3])
    xp.check(dx, [-rest, rest], rtol=1e-8)
    xp.check_all((dgamma, dbeta), ([2 / one, 8 / four], [4.0, 8]), rtol=1e-14)
    xp.check(dx_given, x / np.array([one, four]), rtol=1e-14)


def test_any_axis_counted_from_the_end() -> None:
    x, gamma, beta, dout = normal(4, (7, 3, 2), (3,), (3,), (7, 3, 2))
    expected = train(-3)(x[..., None], gamma, beta, dout[..., None])
    for a, e in zip(train(-2)(x, gamma, beta, dout), expected, strict=True):
        np.testing.assert_allclose(a, e.reshape(a.shape), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("axis", "stacks"), [
    (-1, ((), (2,))), (-1, ((2,), ())), (-1, ((1,), (2,))), (-3, ((2,), (2,))),
])
def test_a_stack_equals_its_members(
    xp: Variant, axis: int, stacks: tuple[tuple[int, ...], ...]
) -> None:
    shape, (of_x, of_gamma) = SHAPES[axis], stacks
    x, gamma, beta, dout = normal(2, (*of_x, *shape), (*of_gamma, 3), (*of_gamma, 3), (2, *shape))
    y, mean, var, *found = xp.run(train(axis), x, gamma, beta, dout)
    each = [np.broadcast_to(a, (2, *own)) for a, own in
            ((x, shape), (gamma, (3,)), (beta, (3,)), (dout, shape))]
    members = [train(axis)(*(a[k] for a in each)) for k in range(2)]
    ys, means, variances, *grads = (np.stack(a) for a in zip(*members, strict=True))
    xp.check(y, ys, rtol=1e-12, atol=1e-14)
    stacked = slice(None) if of_x == (2,) else slice(1) if of_x else 0
    xp.check_all((mean, var), (means[stacked], variances[stacked]), rtol=1e-12)
    for dx, dgamma, dbeta, ex, eg, eb in ((*found[k:k + 3], *grads[k:k + 3]) for k in (0, 3)):
        xp.check(dx, ex if of_x else ex.sum(0), rtol=1e-11, atol=1e-12)
        xp.check_all((dgamma, dbeta), (eg, eb) if of_gamma else (eg.sum(0), eb.sum(0)), rtol=1e-11,
                     atol=1e-12)


def test_a_stack_at_inference(xp: Variant) -> None:
    x, gamma, beta, mean, dout = normal(3, (7, 3), (2, 3), (2, 3), (2, 3), (2, 7, 3))
    var = np.exp(mean)
    y, dx, dgamma, dbeta = xp.run(lambda *a: (
        batch_normalization_inference(*a[1:]), *batch_normalization_inference_backward(*a),
    ), dout, x, gamma, beta, mean, var)
    normalized = (x - mean[:, None]) / np.sqrt(var + 1e-5)[:, None]
    xp.check(y, gamma[:, None] * normalized + beta[:, None], rtol=1e-12)
    scale = gamma / np.sqrt(var + 1e-5)
    xp.check(dx, (dout * scale[:, None]).sum(0), rtol=1e-12, atol=1e-13)
    xp.check(dgamma, (dout * normalized).sum(1), rtol=1e-12, atol=1e-13)
    xp.check(dbeta, dout.sum(1), rtol=1e-12)


@axes
def test_an_empty_batch(xp: Variant, axis: int) -> None:
    x, ones, zeros = np.zeros((0, *SHAPES[axis][1:])), np.ones(3), np.zeros(3)
    xp.check_all(xp.run(train(axis), x, ones, ones, x),
                 (x, zeros, zeros, x, zeros, zeros, x, zeros, zeros))


def test_a_mean_that_is_large_against_the_variance() -> None:
    rng = np.random.default_rng(0)
    for mean in (1e3, 1e5):  # at 1e5, two passes without more are off by a fifth
        x = (rng.standard_normal((10000, 5)) + mean).astype("float32")
        ones = np.ones(5, "float32")
        y, found_mean, found_var = batch_normalization(x, ones, 0 * ones)
        exact = x.astype("float64")
        np.testing.assert_allclose(found_mean, exact.mean(0), rtol=1e-7)
        np.testing.assert_allclose(found_var, exact.var(0), rtol=3e-5)
        spacing = float(np.spacing(x.max()))
        np.testing.assert_allclose(y, (exact - exact.mean(0)) / exact.std(0), atol=spacing, rtol=1e-4)


def test_constant_channels_are_shifted_to_beta(xp: Variant) -> None:
    x, gamma, beta = np.full((7, 3), 0.1, "float32"), np.ones(3, "float32"), np.full(3, 2, "float32")
    y, _, var = xp.run(lambda *a: batch_normalization(*a, eps=0.01), x, gamma, beta)
    xp.check(y, np.full((7, 3), 2.0), dtype="float32", rtol=1e-6)
    xp.check(var, np.zeros(3), dtype="float32", atol=1e-14)


def test_one_row_is_its_mean(xp: Variant) -> None:
    (x,) = normal(5, (1, 3))
    y, mean, var = xp.run(batch_normalization, x, np.ones(3), np.full(3, 2.0))
    xp.check_all((y, mean, var), (np.full((1, 3), 2.0), x[0], np.zeros(3)), rtol=1e-14)


def test_half_precision_sums_in_float32() -> None:
    x = np.full((3000, 1), 40, "float16")  # whose sum, 120000, overflows in float16
    x[::2] = 20
    ones = np.ones(1, "float16")
    y, mean, var = batch_normalization(x, ones, 0 * ones)
    assert (float(mean[0]), float(var[0])) == (30, 100)
    np.testing.assert_allclose(y[:2, 0], [-1, 1], rtol=1e-3)
    dx, _, dbeta = batch_normalization_backward(ones + 0 * x, x, ones, ones)
    assert float(dbeta[0]) == 3000
    np.testing.assert_allclose(dx, 0, atol=1e-3)
    assert y.dtype == mean.dtype == dx.dtype == np.float16


@pytest.mark.parametrize("largest", [300, 60000])  # of which the square, the variance overflow
def test_half_precision_computes_in_float32(largest: float) -> None:
    torch = pytest.importorskip("torch")
    x, dout, ones = np.zeros((100, 1), "float16"), np.ones((100, 1), "float16"), np.ones(1, "float16")
    x[0, 0], dout[1] = largest, 0
    with np.errstate(over="ignore"):  # of the variance
        y, _, _, *grads = train(-1)(x, ones, ones, dout)
    exact = [a.astype("float64") for a in (x, ones, ones)]
    np.testing.assert_allclose(y, torch_training(torch, *map(torch.asarray, exact)), rtol=2e-3)
    for a, e in zip(grads, 2 * gradients(torch_training, dout, exact), strict=True):
        assert a.dtype == np.float16
        np.testing.assert_allclose(a, e, rtol=5e-3, atol=1e-6)


@pytest.mark.parametrize(("axis", "shapes"), [
    (-1, ((7, 3), (4,), (4,))), (-1, ((7, 3), (3,), (1,))), (-1, ((7, 3), (), (3,))),
    (-1, ((3,), (3,), (3,))), (-3, ((7, 3), (3,), (3,))), (-3, ((7, 3, 2, 4), (4,), (4,))),
])
def test_shapes_that_do_not_fit(
    xp: Variant, axis: int, shapes: tuple[tuple[int, ...], ...]
) -> None:
    with pytest.raises(ValueError, match=r"wants x with C channels along axis -[13] .* got x \("):
        xp.run(lambda *a: batch_normalization(*a, axis=axis), *(np.ones(shape) for shape in shapes))


def test_what_else_does_not_fit(xp: Variant) -> None:
    x, c = np.ones((7, 3)), np.ones(3)
    for shape in ((7, 1), (1, 3), (2, 7, 3)):
        for backward, given in ((batch_normalization_backward, (x, c, c)),
                                (batch_normalization_inference_backward, (x, c, c, c, c))):
            with pytest.raises(ValueError, match=r"wants dout like its output, of 2 axes, the last "
                                                 r"\(7, 3\); got \("):
                xp.run(backward, np.ones(shape), *given)
    with pytest.raises(ValueError, match=r"wants x with C .* got x \(7, 3\), \(3,\), \(3,\), \(1,\)"):
        xp.run(batch_normalization_inference, x, c, c, np.ones(1), c)
    with pytest.raises(TypeError, match=r"of one dtype; got .*float64, .*float32, .*float64"):
        xp.run(batch_normalization, x, c.astype("float32"), c)
    with pytest.raises(TypeError, match=r"of one dtype; got .*float64, .*float32"):
        xp.run(batch_normalization_backward, x.astype("float32"), x, c, c)
    for axis in (0, 1):
        with pytest.raises(ValueError, match=rf"axis counted from the end; got {axis}"):
            xp.run(lambda *a, axis=axis: batch_normalization(*a, axis=axis), x, c, c)


def test_arrays_of_two_libraries_are_refused() -> None:
    strict = make("strict")
    with pytest.raises(TypeError, match=r"arrays of one array-API library are wanted"):
        batch_normalization(np.ones((4, 3)), np.ones(3), strict.asarray(np.ones(3)))
