from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from array_api_compat import array_namespace
from variants import Host, Variant, installed, make, params

from xpnet import TwoLayerNet
from xpnet import functional as fn
from xpnet.testing import GradientReport, VariableReport, check_gradients
from xpnet.testing.rounding import check_rounding

EPS = 2.0**-23
RNG = np.random.default_rng(7)
X, W, B = (RNG.uniform(0.5, 1.5, shape) * RNG.choice((-1, 1), shape)
           for shape in ((4, 6), (6, 5), (5,)))
T = np.array([1, 0, 4, 2])


@pytest.fixture(params=params("numpy", "strict", "torch", "cupy"))
def swift(request: pytest.FixtureRequest) -> Variant:
    """Every array library that computes at once; JAX compiles each operation first."""
    return make(request.param)


def is_float32(x: Any) -> bool:
    return x.dtype == array_namespace(x).float32


def verdicts(report: GradientReport) -> dict[str, str]:
    return {v.name: v.verdict for v in report.variables}


# One dtype alone --------------------------------------------------------------------------------


def wrong_in(float32: bool) -> Callable[..., Any]:
    """Make the backward of `affine` that halves dW in one dtype."""

    def backward(dout: Any, x: Any, W: Any, b: Any) -> Any:
        dx, dW, db = fn.affine_backward(dout, x, W, b)
        return dx, dW / 2 if is_float32(W) == float32 else dW, db

    return backward


@pytest.mark.parametrize("mode", ["random", "full"])
def test_a_bug_in_float32_alone(mode: Any, swift: Variant) -> None:
    arrays = [swift.asarray(x, "float32") for x in (X, W, B)]
    report = check_gradients(fn.affine, *arrays, backward=wrong_in(float32=True), mode=mode)
    assert verdicts(report) == {"x": "correct", "W": "wrong", "b": "correct"}, str(report)
    assert report.worst is not None
    assert report.worst.backward == pytest.approx(report.worst.numerical / 2, rel=1e-5)
    # Relative to its largest element, where half of it is furthest off.
    assert report.worst.error == pytest.approx(0.5, rel=1e-5)
    arrays = [swift.asarray(x, "float64") for x in (X, W, B)]
    assert check_gradients(fn.affine, *arrays, backward=wrong_in(float32=True), mode=mode)


def test_the_cause_says_that_it_is_in_float32_alone() -> None:
    arrays = [x.astype("float32") for x in (X, W, B)]
    report = check_gradients(fn.affine, *arrays, backward=wrong_in(float32=True))
    assert report.verdict == "wrong"
    assert report.cause is not None
    assert "float32" in report.cause


def test_a_bug_in_float64_alone(swift: Variant) -> None:
    for dtype in ("float32", "float64"):
        arrays = [swift.asarray(x, dtype) for x in (X, W, B)]
        report = check_gradients(fn.affine, *arrays, backward=wrong_in(float32=False))
        assert verdicts(report) == {"x": "correct", "W": "wrong", "b": "correct"}, str(report)


def test_a_bug_in_float32_of_a_network() -> None:
    class Wrong(TwoLayerNet):
        def gradient(self, x: Any, t: Any) -> dict[str, Any]:
            found = super().gradient(x, t)
            return found | {"b1": found["b1"] * (1.001 if is_float32(found["b1"]) else 1)}

    report = check_gradients(Wrong(6, 8, 5, "he", seed=1, dtype="float32"), X.astype("float32"), T)
    assert verdicts(report) == {"W1": "correct", "b1": "wrong", "W2": "correct", "b2": "correct"}
    assert report.where == "numpy float32 on cpu"
    assert report.how == "4 random directions, in float64"


def test_float32_is_held_against_float64(swift: Variant) -> None:
    # Off by a thousandth, which differences in float32 do not show.
    def backward(dout: Any, x: Any) -> Any:
        return 1.001 * fn.softmax_backward(dout, x)

    x = swift.asarray(X, "float32")
    assert check_gradients(fn.softmax, x, backward=fn.softmax_backward)
    assert check_gradients(fn.softmax, x, backward=backward).verdict == "wrong"


# Rounding is no bug -----------------------------------------------------------------------------


def layer_norm(x: Any) -> Any:
    xc = x - x.mean(axis=-1, keepdims=True)
    return xc / np.sqrt((xc * xc).mean(axis=-1, keepdims=True) + 1e-12)


def layer_norm_backward(dout: Any, x: Any) -> Any:
    xc = x - x.mean(axis=-1, keepdims=True)
    std = np.sqrt((xc * xc).mean(axis=-1, keepdims=True) + 1e-12)
    xn = xc / std
    return (dout - dout.mean(axis=-1, keepdims=True)
            - xn * (dout * xn).mean(axis=-1, keepdims=True)) / std


def differences(x: Any) -> Any:
    return (x[:, 1:] - x[:, :-1]) ** 3


def differences_backward(dout: Any, x: Any) -> Any:
    g = 3 * (x[:, 1:] - x[:, :-1]) ** 2 * dout
    zero = np.zeros_like(g[:, :1])
    return np.concatenate([zero, g], axis=1) - np.concatenate([g, zero], axis=1)


def naive_variance(x: Any) -> Any:
    return (x * x).mean(axis=-1) - x.mean(axis=-1) ** 2


def naive_variance_backward(dout: Any, x: Any) -> Any:
    return 2 * dout[:, None] * (x - x.mean(axis=-1, keepdims=True)) / x.shape[-1]


CANCELLING: list[tuple[Callable[..., Any], Callable[..., Any]]] = [
    (layer_norm, layer_norm_backward),
    (differences, differences_backward),
    (naive_variance, naive_variance_backward),
    (fn.softmax, fn.softmax_backward),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("offset", [0.0, 1e3, 1e5])
@pytest.mark.parametrize(("f", "backward"), CANCELLING)
def test_cancellation_is_never_wrong(
    f: Callable[..., Any], backward: Callable[..., Any], offset: float, dtype: str
) -> None:
    for seed in range(8):
        x = (offset + np.random.default_rng(seed).standard_normal((4, 6))).astype(dtype)
        report = check_gradients(f, x, backward=backward, seed=seed)
        assert report.verdict in ("correct", "imprecise"), str(report)
        if offset == 0:
            assert report, str(report)


@pytest.mark.parametrize("factor", [2.0, -1.0, 1.01])
@pytest.mark.parametrize(("f", "backward"), CANCELLING)
def test_what_rounding_does_not_hide_is_wrong_in_float32(
    f: Callable[..., Any], backward: Callable[..., Any], factor: float
) -> None:
    for seed in range(4):
        x = np.random.default_rng(seed).standard_normal((4, 6)).astype("float32")
        report = check_gradients(
            f, x, backward=lambda dout, x: factor * backward(dout, x), seed=seed)
        assert report.verdict == "wrong", str(report)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scores", [10.0, 30.0, 100.0, 1e4])
def test_saturation_is_never_wrong(scores: float, dtype: str) -> None:
    for seed in range(8):
        x = (scores * np.random.default_rng(seed).standard_normal((4, 6))).astype(dtype)
        for f, backward in ((fn.softmax, fn.softmax_backward), (
                lambda x: fn.softmax_cross_entropy(x, T),
                lambda dout, x: fn.softmax_cross_entropy_backward(dout, x, T))):
            report = check_gradients(f, x, backward=backward, seed=seed)
            assert report.verdict in ("correct", "imprecise"), str(report)


def proportions(x: Any) -> Any:
    return np.abs(x) / np.sum(np.abs(x))


def proportions_backward(dout: Any, x: Any) -> Any:
    length = np.sum(np.abs(x))
    return np.sign(x) * (dout / length - np.sum(dout * np.abs(x)) / length**2)


@pytest.mark.parametrize("mode", ["random", "full"])
@pytest.mark.parametrize(("f", "backward"), [
    (fn.softmax, fn.softmax_backward), (proportions, proportions_backward)])
def test_a_gradient_of_zero_but_for_rounding(
    f: Callable[..., Any], backward: Callable[..., Any], mode: Any
) -> None:
    # These sum to 1, whatever x is: the derivative of their sum is 0.
    for seed, dtype in itertools.product(range(40), ("float32", "float64")):
        rng = np.random.default_rng(seed)
        x = (10 ** rng.uniform(-1, 1) * rng.standard_normal(2 + seed % 5)).astype(dtype)
        report = check_gradients(lambda x: f(x).sum(), x, mode=mode, seed=seed,
                                 gradient=lambda x: backward(np.ones_like(x), x))
        assert report.verdict in ("correct", "imprecise"), str(report)


# In float32 alone -------------------------------------------------------------------------------


def test_code_that_fails_in_float64_is_checked_in_float32() -> None:
    def f(x: Any) -> Any:
        if not is_float32(x):
            raise TypeError("float32\nis wanted")
        return x * x

    x = X.astype("float32")
    report = check_gradients(f, x, backward=lambda dout, x: 2 * dout * x)
    assert report, str(report)
    assert report.notes == (
        "checked in float32 alone; in float64, f fails: TypeError: float32 is wanted",)
    assert report.how == "4 random directions"
    for factor in (0.0, -1.0, 1.05):
        report = check_gradients(f, x, backward=lambda dout, x, k=factor: 2 * k * dout * x)
        assert report.verdict == "wrong", str(report)


@pytest.mark.parametrize("factor", [0.0, -1.0, 1.05])
@pytest.mark.parametrize("f", [
    lambda x: np.float32(x) ** 2,
    lambda x: np.float64(np.float32(x) ** 2),
    lambda x: np.sum(np.float32(x) ** 2),
    lambda x: np.float64(np.sum(np.float32(x) ** 2)),
], ids=["elements", "elements in float64", "sum", "sum in float64"])
def test_code_that_computes_in_float32_whatever_it_is_given(
    f: Callable[[Any], Any], factor: float
) -> None:
    for seed, dtype in itertools.product(range(3), ("float32", "float64")):
        x = X.astype(dtype)
        assert check_gradients(f, x, backward=lambda dout, x: 2 * dout * x, seed=seed)
        report = check_gradients(f, x, backward=lambda dout, x: factor * 2 * dout * x, seed=seed)
        assert report.verdict == "wrong" if factor else not report, str(report)


class BookNet:
    """As in the book: what stands in a dictionary cannot take float64; the loss is a Python float."""

    def __init__(self, seed: int, factor: float) -> None:
        rng = np.random.default_rng(seed)
        self.params = {"W": rng.standard_normal((6, 5)).astype("float32"),
                       "b": rng.standard_normal(5).astype("float32")}
        self.factor = factor

    def loss(self, x: Host, t: Host) -> float:
        scores = fn.affine(x, self.params["W"], self.params["b"])
        return float(fn.softmax_cross_entropy(scores, t))

    def gradient(self, x: Host, t: Host) -> dict[str, Any]:
        scores = fn.affine(x, self.params["W"], self.params["b"])
        dout = fn.softmax_cross_entropy_backward(1, scores, t)
        _, dW, db = fn.affine_backward(dout, x, self.params["W"], self.params["b"])
        return {"W": dW, "b": np.float32(self.factor) * db}


@pytest.mark.parametrize("mode", ["random", "full"])
@pytest.mark.parametrize("factor", [1.0, 0.0, -1.0, 1.05, 2.0])
def test_a_network_in_float32_alone(factor: float, mode: Any) -> None:
    for seed in range(20):
        report = check_gradients(BookNet(seed, factor), X.astype("float32"), T, mode=mode, seed=seed)
        assert report.notes[0] == (
            "checked in float32 alone: the parameters cannot be replaced by others of float64")
        assert verdicts(report)["W"] == "correct", str(report)
        assert verdicts(report)["b"] in {1.0: ("correct",), 0.0: ("wrong", "imprecise")}.get(
            factor, ("wrong",)), str(report)


@pytest.mark.skipif(not installed("jax"), reason="jax is not installed")
def test_jax_without_float64_switched_on() -> None:
    xp = make("jax")
    import jax

    computed_in = set()

    def backward(dout: Any, x: Any, W: Any, b: Any) -> Any:
        computed_in.add((str(dout.dtype), bool(jax.config.jax_enable_x64)))
        return wrong_in(float32=True)(dout, x, W, b)

    with jax.enable_x64(False):
        arrays = [xp.asarray(x, "float32") for x in (X, W, B)]
        right = check_gradients(fn.affine, *arrays, backward=fn.affine_backward)
        assert right, str(right)
        assert right.how.endswith(", in float64")
        assert not jax.config.jax_enable_x64
        report = check_gradients(fn.affine, *arrays, backward=backward)
        assert verdicts(report) == {"x": "correct", "W": "wrong", "b": "correct"}, str(report)
        assert computed_in == {("float32", False), ("float64", True)}
        assert not jax.config.jax_enable_x64
        assert jax.numpy.asarray([1.0]).dtype == jax.numpy.float32

        def fails(x: Any) -> Any:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            check_gradients(fails, arrays[0], backward=backward)
        assert not jax.config.jax_enable_x64
    assert jax.config.jax_enable_x64


# The comparison itself --------------------------------------------------------------------------

WIDE = np.array([[1.0, -2.0, 0.5], [0.25, 4.0, -1.0]])
OFF = np.array([[0, 0, 0], [0, 0, 1.0]])

Point = Mapping[str, Host]


def compared(
    off: Host, *, spread: float = 0.0, beside: float = 1.0, shrunk: float = 1.0,
    effect: float = 0.0, wide: Host = WIDE,
) -> VariableReport:
    """Compare gradients that are `off` apart.

    In float32, they change by `spread` when the point is rounded; a little away, they are `beside`
    times as far off; nearer to 0, they are `shrunk` times as large. It takes one of the size
    `effect` to change the value.
    """
    here, rounded, away, near = ({"x": np.asarray(k)} for k in range(4))

    def pair(p: Point) -> tuple[Point, Point]:
        own = wide + off
        if p is rounded:
            own = own + spread
        if p is away:
            own = wide + beside * off
        return {"x": own}, {"x": wide * shrunk if p is near else wide}

    report, = check_rounding(pair, here, ["x"], EPS, effect=lambda name: effect,
                             rounded=lambda: [rounded], beside=lambda: [away],
                             shrunk=lambda: [near])
    assert (report.name, report.shape) == ("x", wide.shape)
    return report


def test_a_difference_names_its_element() -> None:
    report = compared(0.5 * OFF)
    assert report.verdict == "wrong"
    assert report.worst.index == (1, 2)
    assert (report.worst.backward, report.worst.numerical) == (-0.5, -1.0)
    assert report.worst.error == 0.5 / 4  # relative to the largest element
    assert report.trail == ()


@pytest.mark.parametrize(("off", "others", "verdict"), [
    (0.0, {}, "correct"),
    (60 * EPS * 4, {}, "correct"),  # sixty roundings of the largest element
    (-60 * EPS * 4, {}, "correct"),
    (100 * EPS * 4, {}, "wrong"),
    (-100 * EPS * 4, {}, "wrong"),
    (1e-3, {"spread": 1e-4}, "correct"),  # rounding, which leaves three digits
    (1.0, {"spread": 0.1}, "imprecise"),  # rounding, which leaves none
    (1.0, {"spread": 0.01}, "wrong"),
    (1.0, {"beside": 0.0}, "kink"),
    (1.0, {"beside": 0.5}, "wrong"),
    (1e-2, {"shrunk": 1e4}, "imprecise"),  # sixty-four roundings of what it is elsewhere
    (1e-2, {"shrunk": 1e2}, "wrong"),
    (1e-2, {"effect": 4e4}, "imprecise"),  # likewise, of what shows in the value
    (1e-2, {"effect": 4e2}, "wrong"),
    (math.nan, {}, "wrong"),
])
def test_verdicts(off: float, others: dict[str, Any], verdict: str) -> None:
    assert compared(np.where(OFF, off, 0), **others).verdict == verdict


def test_underflow_is_no_difference() -> None:
    assert compared(1e-38 * OFF, wide=1e-36 * WIDE).verdict == "correct"
    assert compared(1e-35 * OFF, wide=1e-36 * WIDE).verdict == "wrong"


def test_an_empty_gradient() -> None:
    report = compared(np.zeros((0, 3)), wide=np.zeros((0, 3)))
    assert report.verdict == "correct"
    assert report.worst.index is None


def test_what_agrees_is_not_looked_at_elsewhere() -> None:
    def nowhere() -> list[Point]:
        raise AssertionError("there is nothing to find out")

    both = {"x": WIDE, "y": WIDE}
    found = check_rounding(lambda p: (both, both), {}, ["x", "y"], EPS, effect=lambda name: 0.0,
                           rounded=nowhere, beside=nowhere, shrunk=nowhere)
    assert [v.verdict for v in found] == ["correct", "correct"]


def test_what_computes_in_float32_is_known_to_along_every_direction() -> None:
    # The second direction has another dout; what was found of the first must still hold.
    def f(x: Any) -> Any:
        return np.tanh(x.astype("float32")).astype("float64")

    for seed in range(10):
        report = check_gradients(f, X, backward=lambda dout, x: dout * (1 - np.tanh(x) ** 2),
                                 seed=seed, directions=12)
        assert report, str(report)
