from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from array_api_compat import array_namespace, device
from book_layers import BookAffine
from variants import Variant, make, params

from xpnet.testing import GradientReport, check_gradients

Backward = Callable[..., Any]

RNG = np.random.default_rng(3)
X, W, B = (RNG.uniform(0.5, 1.5, shape) * RNG.choice((-1, 1), shape)
           for shape in ((4, 6), (6, 5), (5,)))
SQUARE = RNG.standard_normal((5, 5))
ROWS = RNG.standard_normal((4, 5))


@pytest.fixture(params=params("numpy", "strict", "torch", "cupy"))
def swift(request: pytest.FixtureRequest) -> Variant:
    """Every array library that computes at once; JAX compiles each operation first."""
    return make(request.param)


def at(x: Any, *index: int | None) -> Any:
    """Tell where the elements with this index are; None for any."""
    xp = array_namespace(x)
    found = xp.ones(x.shape, dtype=xp.bool, device=device(x))
    for axis, k in enumerate(index):
        if k is not None:
            shape = [1] * x.ndim
            shape[axis] = -1
            along = xp.arange(x.shape[axis], device=device(x))
            found = found & xp.reshape(along == k, tuple(shape))
    return found


# Functions and their right gradients ------------------------------------------------------------


def cubes(x: Any) -> Any:  # (4, 6) -> (4,)
    return array_namespace(x).sum(x**3, axis=1)


def cubes_backward(dout: Any, x: Any) -> Any:
    return 3 * x**2 * dout[:, None]


def affine(x: Any, W: Any, b: Any) -> Any:
    return array_namespace(x).matmul(x, W) + b


def affine_backward(dout: Any, x: Any, W: Any, b: Any) -> tuple[Any, Any, Any]:
    xp = array_namespace(x)
    return xp.matmul(dout, W.mT), xp.matmul(x.mT, dout), xp.sum(dout, axis=0)


def of_cubes(xp: Variant, spoil: Callable[[Any, Any], Any]) -> GradientReport:
    """Check the function `cubes`, whose gradient `spoil(dx, x)` spoils."""
    report = check_gradients(cubes, xp.asarray(X), backward=lambda dout, x: spoil(
        cubes_backward(dout, x), x))
    assert report.verdict == "wrong"
    return report


def said(report: GradientReport) -> str:
    """Give the cause, which is to be printed, too."""
    assert report.cause is not None, str(report)
    assert report.worst is not None
    assert f"{report.worst.name}: {report.cause}" in str(report).splitlines()
    return report.cause


# Factors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("factor", "cause"), [
    (-1.0, "the sign is wrong"),
    (2.0, "a factor of 2"),
    (0.5, "a factor of 1/2"),
    (-2.0, "a factor of -2"),
    (-0.5, "a factor of -1/2"),
    (6.0, "a factor of 6, the length of axis 1 of x"),
    (1 / 6, "a factor of 1/6, 6 being the length of axis 1 of x"),
    (-1 / 6, "a factor of -1/6, 6 being the length of axis 1 of x"),
    (4.0, "a factor of 4, the length of axis 0 of x"),
    (0.25, "a factor of 1/4, 4 being the length of axis 0 of x"),
    (24.0, "a factor of 24, the number of elements of x"),
    (1 / 24, "a factor of 1/24, 24 being the number of elements of x"),
    (1.01, "a factor of 1.01"),
    (-1.5, "a factor of -1.5"),
    (1e-3, "a factor of 0.001"),
    (0.0, "the gradient of x is zero, the derivative is not"),
])
def test_factors(factor: float, cause: str) -> None:
    assert said(of_cubes(make("numpy"), lambda dx, x: factor * dx)) == cause


def test_a_factor_near_1_is_no_length_of_1() -> None:
    report = check_gradients(cubes, X[:1, :], backward=lambda dout, x: (
        1.0008 * cubes_backward(dout, x)))
    assert report.verdict == "wrong"
    assert said(report) == "a factor of 1.001"


def test_a_factor_on_every_library(eager: Variant) -> None:
    assert said(of_cubes(eager, lambda dx, x: dx / 6)) == (
        "a factor of 1/6, 6 being the length of axis 1 of x")


def test_a_factor_of_a_parameter() -> None:
    x, W_, b = map(make("numpy").asarray, (X, W, B))

    def mean_for_sum(dout: Any, x: Any, W: Any, b: Any) -> Any:
        dx, dW, db = affine_backward(dout, x, W, b)
        return dx, dW, db / x.shape[0]

    report = check_gradients(affine, x, W_, b, backward=mean_for_sum)
    assert [v.verdict for v in report.variables] == ["correct", "correct", "wrong"]
    assert [v.cause for v in report.variables[:2]] == [None, None]
    assert said(report) == "a factor of 1/4, 4 being the length of axis 0 of x"


# Other patterns ---------------------------------------------------------------------------------


def test_the_value_does_not_change(swift: Variant) -> None:
    read = swift.asarray(X)
    report = check_gradients(
        lambda x: cubes(read) + 0 * x[:, 0], swift.asarray(X), backward=cubes_backward)
    assert report.verdict == "wrong"
    assert said(report) == "the value does not change with x: is it this array that forward reads?"


class Accumulating(BookAffine):
    def backward(self, dout: Any) -> Any:
        before = self.dW
        dx = super().backward(dout)
        if before is not None:
            self.dW = before + self.dW
        return dx


def test_accumulation(swift: Variant) -> None:
    report = check_gradients(Accumulating(swift.asarray(W), swift.asarray(B)), swift.asarray(X))
    assert report.verdict == "wrong"
    assert [(v.name, v.verdict) for v in report.variables] == [
        ("x", "correct"), ("W", "wrong"), ("b", "correct")]
    assert said(report) == (
        "backward, called twice, gives two gradients: it adds to what the last call left")


def test_dout_ignored(swift: Variant) -> None:
    assert said(of_cubes(swift, lambda dx, x: 3 * x**2)) == "backward ignores dout"


class HalfSquares:
    """A loss whose backward takes no `dout`."""

    def forward(self, x: Any) -> Any:
        self.x = x
        return array_namespace(x).sum(x**2)

    def backward(self) -> Any:
        return 1.0 * self.x


@pytest.mark.parametrize("mode", ["random", "full"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_where_there_is_no_dout_none_is_ignored(dtype: str, mode: Any) -> None:
    x = X.astype(dtype)
    for report in (
        check_gradients(HalfSquares(), x, mode=mode),
        check_gradients(lambda x: (x**2).sum(), x, gradient=lambda x: x, mode=mode),
    ):
        assert report.verdict == "wrong"
        assert said(report) == "a factor of 1/2"


def test_a_transpose(swift: Variant) -> None:
    def backward(dout: Any, x: Any, W: Any, b: Any) -> Any:
        dx, dW, db = affine_backward(dout, x, W, b)
        return dx, dW.mT, db

    x, W_, b = map(swift.asarray, (ROWS, SQUARE, B))
    report = check_gradients(affine, x, W_, b, backward=backward)
    assert report.verdict == "wrong"
    assert said(report) == "the gradient is the transpose of what it should be"


def relu(x: Any) -> Any:
    return array_namespace(x).maximum(x, array_namespace(x).zeros_like(x))


@pytest.mark.parametrize(("backward", "cause"), [
    (lambda dout, x: dout, "a mask is missing: where the derivative is zero, the gradient is not"),
    (lambda dout, x: dout * (x > 1),
     "the gradient is zero where the derivative is not: a mask too many, or the wrong one"),
], ids=["missing", "too many"])
def test_masks(backward: Backward, cause: str) -> None:
    report = check_gradients(relu, make("numpy").asarray(X), backward=backward)
    assert report.verdict == "wrong"
    assert said(report) == cause


@pytest.mark.parametrize(("where", "cause"), [
    ((0, 0), "only the element [0, 0] of x is off, of 24 looked at"),
    ((2, 4), "only the element [2, 4] of x is off, of 24 looked at"),
    ((1, None), "only index 1 of axis 0 of x is off"),
    ((3, None), "only index 3 of axis 0 of x is off, the last"),
    ((None, 4), "only index 4 of axis 1 of x is off"),
    ((None, 5), "only index 5 of axis 1 of x is off, the last"),
])
def test_places(where: tuple[int | None, ...], cause: str) -> None:
    # By no factor: that would be a mask, or a sign.
    report = of_cubes(make("numpy"), lambda dx, x: dx + 0.1 * x * at(x, *where))
    assert said(report) == cause
    assert report.worst is not None
    assert report.worst.index is not None
    assert all(w in (None, k) for w, k in zip(where, report.worst.index, strict=True))


def test_a_place_on_every_library(eager: Variant) -> None:
    def spoil(dx: Any, x: Any) -> Any:
        return array_namespace(x).where(at(x, None, 4), -dx, dx)

    assert said(of_cubes(eager, spoil)) == "only index 4 of axis 1 of x is off"


def test_right_for_one_row(swift: Variant) -> None:
    def backward(dout: Any, x: Any, W: Any, b: Any) -> Any:
        dx, _, db = affine_backward(dout, x, W, b)
        return dx, affine_backward(dout[:1, ...], x[:1, ...], W, b)[1], db

    x, W_, b = map(swift.asarray, (X, W, B))
    report = check_gradients(affine, x, W_, b, backward=backward)
    assert report.verdict == "wrong"
    assert said(report).startswith("right for one row, wrong for several")


class Stale(BookAffine):
    """Remembers the first input that it saw."""

    def forward(self, x: Any) -> Any:
        first = x if self.x is None else self.x
        y = super().forward(x)
        self.x = first
        return y


def test_the_gradient_of_an_earlier_input(swift: Variant) -> None:
    layer = Stale(swift.asarray(W), swift.asarray(B))
    report = check_gradients(layer, swift.asarray(X))
    assert report.verdict == "wrong"
    assert said(report).startswith("the gradient of W is the same for other inputs")
    assert [v.name for v in report.variables if v.cause] == ["W"]


@pytest.mark.parametrize("backward", [
    lambda dout, x: dout * (1 + x**2),  # cosh² is something else
    lambda dout, x: dout * x,
], ids=["formula", "x"])
def test_no_pattern_no_cause(backward: Backward) -> None:
    report = check_gradients(np.tanh, X, backward=backward)
    assert report.verdict == "wrong"
    assert report.cause is None


def test_what_is_right_has_no_cause(swift: Variant) -> None:
    report = check_gradients(cubes, swift.asarray(X), backward=cubes_backward)
    assert report
    assert report.cause is None


# The search in large arrays ---------------------------------------------------------------------


def wrong_at(xp: Variant, shape: tuple[int, ...], number: int, factor: float) -> GradientReport:
    """Check a gradient that is off by a factor in one element."""
    x = np.random.default_rng(number).uniform(0.5, 1.5, shape)

    def backward(dout: Any, x: Any) -> Any:
        right = 3 * x**2 * dout
        index = np.unravel_index(number, shape)
        return array_namespace(x).where(at(x, *map(int, index)), factor * right, right)

    return check_gradients(
        lambda x: array_namespace(x).sum(x**3), xp.asarray(x), backward=backward)


@pytest.mark.parametrize("factor", [-1.0, 0.0, 1.1])
@pytest.mark.parametrize(("shape", "numbers"), [
    ((257,), (0, 100, 256)), ((30, 40), (0, 777, 1199)), ((5, 6, 7, 8), (1, 1679)),
    ((784, 50), (0, 12_345, 39_199)),
])
def test_one_wrong_element_is_found(
    shape: tuple[int, ...], numbers: tuple[int, ...], factor: float
) -> None:
    for number in numbers:
        report = wrong_at(make("numpy"), shape, number, factor)
        index = tuple(map(int, np.unravel_index(number, shape)))
        assert report.verdict == "wrong"
        assert report.worst is not None
        assert report.worst.index == index
        assert report.worst.backward == pytest.approx(factor * report.worst.numerical, rel=1e-5)
        cause = said(report)
        found = re.fullmatch(r"only the element (\[.*\]) of x is off, of (\d+) looked at", cause)
        assert found is not None, cause
        assert found[1] == str(list(index))
        assert 1 < int(found[2]) < math.prod(shape)


def test_one_wrong_element_is_found_on_other_libraries(swift: Variant) -> None:
    report = wrong_at(swift, (30, 40), 777, -1.0)
    assert report.worst is not None
    assert report.worst.index == (19, 17)
    assert said(report).startswith("only the element [19, 17] of x is off")


@pytest.mark.parametrize("k", [10, 260, 600, 910])
def test_wrong_elements_that_cancel_are_found(k: int) -> None:
    def gradient(x: Any) -> Any:
        return 3 * x**2 + at(x, k) - at(x, k + 1)

    x = np.random.default_rng(k).uniform(0.5, 1.5, 1000)
    report = check_gradients(lambda x: (x**3).sum(), x, gradient=gradient, seed=k)
    assert report.verdict == "wrong"
    assert report.worst is not None
    assert report.worst.index in ((k,), (k + 1,))


def test_in_a_small_array_all_elements_are_looked_at() -> None:
    report = wrong_at(make("numpy"), (256,), 255, 1.1)
    assert said(report) == "only the element [255] of x is off, of 256 looked at"
