from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable

import pytest

from xpnet.testing.lines import Judgement, Measure, judge

Function = Callable[[float], float]

EPS = 2.0**-52
EPS32 = 2.0**-23
SCALES = (1e-12, 1e-6, 1.0, 1e6, 1e12)
OTHERS = (0.0, 0.5, 2.0, -1.0, 1.01, 1.0005, 1e3)
"""What wrong slopes are, in units of the right one."""


def measure(slope: float, value: float, eps: float = EPS, gradient_eps: float = EPS) -> Measure:
    """Say what to hold a slope against, as `Site` does for a variable of one element."""
    return Measure(abs(slope), abs(value), eps * (abs(value) + abs(slope)), eps, gradient_eps)


def judged(f: Function, x: float, expected: float, unit: float = 1.0) -> Judgement:
    """Judge the slope of `f` at `x`, for a step of 1 that moves x by `unit`."""
    y = f(x)
    return judge(lambda step: f(x + step * unit) - y, expected, measure(expected, y))


# Smooth functions -------------------------------------------------------------------------------

SMOOTH: list[tuple[str, Function, Function, float]] = [
    ("sin", math.sin, math.cos, 0.7),
    ("exp", math.exp, math.exp, 0.3),
    ("tanh", math.tanh, lambda x: 1 - math.tanh(x) ** 2, -2.0),
    ("cube", lambda x: x**3, lambda x: 3 * x**2, 1.3),
    ("reciprocal", lambda x: 1 / x, lambda x: -1 / x**2, 0.6),
    ("line", lambda x: 2 * x, lambda x: 2.0, 1.7),
]

each_smooth = pytest.mark.parametrize(
    ("f", "derivative", "x"), [case[1:] for case in SMOOTH], ids=[case[0] for case in SMOOTH])


@each_smooth
def test_smooth_functions_at_every_scale(f: Function, derivative: Function, x: float) -> None:
    for of_value, of_x in itertools.product(SCALES, SCALES):
        def scaled(t: float, of_value: float = of_value, of_x: float = of_x) -> float:
            return of_value * f(t / of_x)

        slope = of_value * derivative(x)  # for steps in units of `of_x`
        right = judged(scaled, x * of_x, slope, of_x)
        assert right.finding == right.verdict == "correct"
        assert right.error <= EPS ** (3 / 8)
        assert right.slope == pytest.approx(slope, rel=2e-6)
        for other in OTHERS:
            wrong = judged(scaled, x * of_x, other * slope, of_x)
            assert wrong.finding == wrong.verdict == "wrong", (of_value, of_x, other)
            assert wrong.slope == pytest.approx(slope, rel=1e-6)
            # Relative to the larger of the two slopes.
            assert wrong.error == pytest.approx(abs(other - 1) / max(1, abs(other)), rel=1e-2)


@each_smooth
def test_a_right_slope_takes_two_evaluations(f: Function, derivative: Function, x: float) -> None:
    steps: list[float] = []

    def change(step: float) -> float:
        steps.append(step)
        return f(x + step) - f(x)

    found = judge(change, derivative(x), measure(derivative(x), f(x)))
    assert found.finding == "correct"
    assert len(steps) == 2
    assert steps[0] == -steps[1]
    assert abs(steps[0]) == found.step
    assert [step for step, _ in found.trail] == [found.step]


def test_the_trail_falls_from_truncation_to_the_error_itself() -> None:
    # ((1 + h)³ - (1 - h)³) / 2h = 3 + h², 6 being expected.
    trail = judged(lambda x: x**3, 1.0, 6.0).trail
    steps = [step for step, _ in trail]
    assert steps == sorted(steps, reverse=True)
    assert len(steps) > 10
    assert all(a == pytest.approx(8 * b) for a, b in itertools.pairwise(steps))
    for step, error in trail:
        assert error == pytest.approx(abs(3 + step**2 - 6) / 6, rel=1e-2)


def test_a_slope_in_units_of_the_variable() -> None:
    found = judged(lambda x: x**2, 3.0, 6e-3, unit=1e-3)
    assert found.slope == pytest.approx(6e-3)
    assert found.per(1e-3).slope == pytest.approx(6.0)
    assert found.per(1e-3).error == found.error


# Tolerances -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("eps", "gradient_eps", "off", "finding"), [
    (EPS, EPS, 5e-7, "correct"),
    (EPS, EPS, 1e-5, "wrong"),
    (EPS, EPS32, 5e-6, "correct"),  # forty roundings in float32
    (EPS, EPS32, 1e-3, "wrong"),
    (EPS32, EPS32, 1e-3, "correct"),
    (EPS32, EPS32, 3e-2, "wrong"),
])
def test_tolerances(eps: float, gradient_eps: float, off: float, finding: str) -> None:
    found = judge(lambda step: step, 1 + off, measure(1 + off, 1.0, eps, gradient_eps))
    assert found.finding == finding


def test_a_gradient_in_float32_does_not_take_more_evaluations() -> None:
    steps: list[float] = []

    def change(step: float) -> float:
        steps.append(step)
        return step

    assert judge(change, 1 + 5e-6, measure(1.0, 1.0, EPS, EPS32)).finding == "correct"
    assert len(steps) == 2


def test_a_slope_is_held_against_what_cancelled_in_it() -> None:
    # A thousand contributions of 1 cancelled: a slope of 1e-5 is off by 1e-8 of their size.
    assert judge(lambda step: 0.0, 1e-5, Measure(1e3, 1.0, EPS, EPS, EPS)).finding == "correct"
    assert judge(lambda step: 0.0, 1e-5, Measure(1e-5, 1.0, EPS, EPS, EPS)).finding == "wrong"


# Kinks, jumps, edges ----------------------------------------------------------------------------


@pytest.mark.parametrize("scale", SCALES)
def test_a_kink(scale: float) -> None:
    for expected in (1.0, -1.0, 0.5, 3.0):
        found = judged(lambda x: scale * abs(x), 0.0, scale * expected)
        assert found.finding == found.verdict == "kink"
        assert found.slope == 0
    for expected in (1.0, 0.0):
        assert judged(lambda x: scale * max(x, 0.0), 0.0, scale * expected).finding == "kink"


@pytest.mark.parametrize("x", [1e-9, -1e-9])
def test_beside_a_kink(x: float) -> None:
    right = math.copysign(1, x)
    for unit in (1e-9, 1e-3, 1.0):
        assert judged(abs, x, right * unit, unit).finding == "correct"
        for other in (-1.0, 0.5, 3.0):
            assert judged(abs, x, other * right * unit, unit).finding == "wrong"


@pytest.mark.parametrize("value", [1.0, 3.0, 10.0, 30.0])
def test_beside_a_kink_where_rounding_leaves_four_digits(value: float) -> None:
    # A step of 1e-10 is known to 1e-16 of the value: to about 1e-5 of itself.
    def f(x: float) -> float:
        return value + abs(x)

    assert judged(f, 1e-9, 1.0).finding == "correct"
    assert judged(f, 1e-9, -1.0).finding != "correct"


@pytest.mark.parametrize("x", [1e-9, -1e-9, 1e-3, -1e-3])
def test_beside_a_jump(x: float) -> None:
    def f(x: float) -> float:
        return x + (x > 0)

    assert judged(f, x, 1.0).finding == "correct"
    assert judged(f, x, 0.0).finding in ("wrong", "imprecise")  # long steps see no slope but 0
    for other in (2.0, -1.0):
        assert judged(f, x, other).finding == "wrong"


@pytest.mark.parametrize("expected", [1.0, 0.0, 2.0, 1e3])
def test_on_a_jump_nothing_is_correct_or_wrong(expected: float) -> None:
    found = judged(lambda x: x + (x > 0), 0.0, expected)
    assert found.verdict in ("imprecise", "kink")


def logarithm(x: float) -> float:
    return math.log(x) if x > 0 else math.nan


@pytest.mark.parametrize("x", [1e-9, 1e-6, 1e-3])
def test_near_the_edge_of_the_domain(x: float) -> None:
    assert judged(logarithm, x, 1 / x).finding == "correct"
    for other in OTHERS[:-2]:
        assert judged(logarithm, x, other / x).finding == "wrong"
    # Where most steps leave the domain, these are in the trail without an error.
    assert any(math.isnan(error) for _, error in judged(logarithm, 1e-6, -1e6).trail)


def test_on_the_edge_of_the_domain() -> None:
    found = judged(lambda x: math.sqrt(x) if x >= 0 else math.nan, 0.0, 1.0)
    assert found.finding == "not finite"
    assert math.isnan(found.slope)
    assert math.isnan(found.error)


@pytest.mark.parametrize("expected", [math.nan, math.inf, -math.inf])
def test_expected_slopes_that_are_not_finite(expected: float) -> None:
    def change(step: float) -> float:
        raise AssertionError("there is nothing to find out")

    found = judge(change, expected, measure(1.0, 1.0))
    assert found.finding == "not finite"
    assert found.trail == ()


# Constant functions -----------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, 1.0, -1e12])
def test_constant_functions(value: float) -> None:
    found = judged(lambda x: value, 2.0, 0.0)
    assert (found.finding, found.slope, found.error) == ("correct", 0, 0)
    for expected in (0.1, -1.0, 1e6):
        found = judged(lambda x: value, 2.0, expected)
        assert (found.finding, found.slope, found.error) == ("wrong", 0, 1)


@pytest.mark.parametrize("expected", [1e-20, -1e-17, 1e-16, 5e-16])
def test_rounding_for_a_slope_of_zero(expected: float) -> None:
    # As that of sum(softmax(x)): the gradient, y * (1 - sum(y)), is 0 but for rounding.
    noise = random.Random(0)
    for f in (lambda x: 1.0, lambda x: 1 + EPS * noise.randint(-1, 1)):
        assert judged(f, 1.0, expected).finding == "correct"


def test_what_is_lost_in_rounding_is_not_wrong() -> None:
    # It never changes the 1 that it is added to, however long the steps.
    found = judged(lambda x: 1 + 1e-20 * math.sin(x), 0.3, 1e-20 * math.cos(0.3))
    assert found.finding in ("correct", "imprecise")


# Rounding ---------------------------------------------------------------------------------------


def findings(f: Function, derivative: Function, noise: float, factor: float) -> list[str]:
    """Judge slopes of `f` with so much added to each value at random, at many places."""
    found: list[str] = []
    for seed in range(100):
        draws = random.Random(seed)
        x, y = draws.uniform(-1, 1), draws.uniform(-noise, noise)
        found.append(judged(lambda t, draws=draws, x=x, y=y:  # type: ignore[misc]
                            f(t) + (draws.uniform(-noise, noise) if t != x else y),
                            x, factor * derivative(x)).finding)
    return found


@pytest.mark.parametrize("noise", [1e-15, 1e-12, 1e-8, 1e-6, 1e-4, 1e-2, 1.0, 1e2])
def test_noise_never_makes_a_right_slope_wrong(noise: float) -> None:
    found = findings(math.sin, math.cos, noise, 1.0)
    assert not {"wrong", "kink", "not finite"} & set(found)
    if noise <= 1e-12:
        assert set(found) == {"correct"}
    if noise >= 1e-4:
        assert found.count("imprecise") >= 95


@pytest.mark.parametrize("factor", [-1.0, 0.0, 1.1, 2.0])
@pytest.mark.parametrize("noise", [1e-15, 1e-12, 1e-8, 1e-6, 1e-4, 1e-2, 1.0, 1e2])
def test_noise_does_not_let_a_wrong_slope_pass(noise: float, factor: float) -> None:
    found = findings(math.sin, math.cos, noise, factor)
    assert found.count("correct") <= 1  # by chance, one of a thousand differences agrees
    if noise <= 1e-12:
        assert found.count("wrong") >= (95 if factor else 50)
    if noise >= 1.0:
        assert found.count("imprecise") >= 95


@pytest.mark.parametrize("quantum", [1e-9, 1e-7, 1e-5])
def test_quantised_values(quantum: float) -> None:
    def f(x: float) -> float:
        return round(math.sin(x) / quantum) * quantum

    slope = math.cos(0.7)
    right = judged(f, 0.7, slope)
    assert right.finding in (("correct",) if quantum <= 1e-9 else ("correct", "imprecise"))
    for other in (2.0, -1.0):
        assert judged(f, 0.7, other * slope).finding in (
            ("wrong",) if quantum <= 1e-9 else ("wrong", "unsettled", "imprecise"))


def test_zero_is_no_slope_of_what_stands_still_at_short_steps_alone() -> None:
    # As a loss in float32 whose gradient was left at 0: a step of 1e-7 is lost in 2.3.
    quantum = 2.3 * EPS32

    def change(step: float) -> float:
        return round((2.3 + step) / quantum) * quantum - round(2.3 / quantum) * quantum

    assert judge(change, 0.0, measure(0.0, 2.3, EPS32, EPS32)).finding != "correct"
