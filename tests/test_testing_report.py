from __future__ import annotations

import itertools
import math
import random
from typing import get_args

import pytest

from xpnet.testing import Element, GradientReport, VariableReport
from xpnet.testing.report import Verdict, severity

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
OF_VARIABLES: tuple[Verdict, ...] = ("correct", "imprecise", "kink", "not finite", "wrong")
"""From the best to the worst."""


def variable(
    name: str, verdict: Verdict, error: float = 0.25, cause: str | None = None,
    trail: tuple[tuple[float, float], ...] = (),
) -> VariableReport:
    element = Element(name, (0, 1), 1.0, 2.0, error)
    return VariableReport(name, (2, 3), verdict, element, 1e-6, 1e-3, trail, cause)


def report(
    verdict: Verdict, *variables: VariableReport, notes: tuple[str, ...] = ()
) -> GradientReport:
    return GradientReport(
        verdict, "Affine", "numpy float64 on cpu", "every element", variables, notes)


@pytest.mark.parametrize("verdict", VERDICTS)
def test_nothing_but_correct_is_true(verdict: Verdict) -> None:
    found = report(verdict)
    assert bool(found) is found.ok is (verdict == "correct")


def test_there_are_seven_verdicts() -> None:
    assert set(VERDICTS) == {*OF_VARIABLES, "nondeterministic", "mutates its input"}


@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_verdict_prints_with_its_meaning(verdict: Verdict) -> None:
    first, *_ = str(report(verdict)).splitlines()
    assert first.startswith(f"Affine: {verdict} (")
    meanings = {str(report(v)).splitlines()[0].partition("(")[2] for v in VERDICTS}
    assert len(meanings) == len(VERDICTS)


# Which variable decides -------------------------------------------------------------------------


def test_severity() -> None:
    names = list(OF_VARIABLES)
    for worse, better in itertools.combinations(reversed(names), 2):
        # Whatever the errors.
        assert severity(variable("W", worse, 0.0)) > severity(variable("W", better, math.inf))
    for verdict in OF_VARIABLES:
        errors = [0.0, 1e-9, 1e-3, 1.0, math.inf]
        severities = [severity(variable("W", verdict, error)) for error in errors]
        assert severities == sorted(set(severities))
        assert severity(variable("W", verdict, math.nan)) == severities[-1]


def test_the_worst_variable_of_the_verdict_decides() -> None:
    variables = [
        variable("x", "correct", 9.0, trail=((1.0, 9.0),)),
        variable("W", "wrong", 0.5, "the sign is wrong", ((1.0, 0.5),)),
        variable("b", "wrong", 2.0, "a factor of 2", ((1e-1, 2.0), (1e-2, 2.5))),
        variable("c", "kink", 7.0, trail=((1.0, 7.0),)),
    ]
    for order in itertools.permutations(variables):
        found = report("wrong", *order)
        assert found.worst == Element("b", (0, 1), 1.0, 2.0, 2.0)
        assert found.cause == "a factor of 2"
        assert found.trail == ((1e-1, 2.0), (1e-2, 2.5))
    worst = report("correct", *variables).worst
    assert worst is not None
    assert worst.name == "x"
    assert report("wrong", variable("W", "wrong")).cause is None


def test_nan_is_the_worst_error() -> None:
    variables = [variable(str(error), "wrong", error) for error in (1.0, math.nan, 1e300)]
    random.Random(0).shuffle(variables)
    worst = report("wrong", *variables).worst
    assert worst is not None
    assert math.isnan(worst.error)


@pytest.mark.parametrize("verdict", ["nondeterministic", "mutates its input", "not finite"])
def test_without_variables_nothing_is_worst(verdict: Verdict) -> None:
    found = report(verdict)
    assert found.worst is None
    assert found.cause is None
    assert found.trail == ()


# Print ------------------------------------------------------------------------------------------


def test_a_small_report_prints() -> None:
    wrong = VariableReport(
        "W", (6, 5), "wrong", Element("W", (2, 0), -0.75, 0.25, 1.3333), 1e-6, 1e-3,
        ((8e-3, 1.0), (1e-3, 1.25), (1.25e-4, 1.3333)), "the sign is wrong",
    )
    right = VariableReport(
        "b", (5,), "correct", Element("b", None, 1234567.0, 1234567.5, 4e-7), 1e-6, 1e-3,
        ((1e-3, 4e-7),),
    )
    found = GradientReport("wrong", "Affine", "torch float64 on cpu", "4 random directions",
                           (wrong, right), ("the first note", "the second note"))
    expected = """\
Affine: wrong (the gradients do not agree with differences)
torch float64 on cpu; 4 random directions
   shape   verdict    error           at     backward    numerical
W  (6, 5)  wrong    1.3e+00       [2, 0]        -0.75         0.25
b  (5,)    correct  4.0e-07  a direction  1.23457e+06  1.23457e+06
step       8e-03    1e-03    1e-04
error      1e+00    1e+00    1e+00
W: the sign is wrong
note: the first note
note: the second note"""
    assert str(found) == expected
    assert repr(found) == f"<GradientReport\n{expected}\n>"


def test_a_report_without_variables_prints() -> None:
    assert str(report("mutates its input", notes=("x came back changed",))) == """\
Affine: mutates its input (an array that was passed in came back changed)
numpy float64 on cpu; every element
note: x came back changed"""


def test_zero_has_no_sign_in_print() -> None:
    element = Element("b", (), -0.0, -0.0, 0.0)
    found = report("correct", VariableReport("b", (), "correct", element, 0.0, 0.0, ()))
    row = str(found).splitlines()[-1]
    assert row.split() == ["b", "()", "correct", "0.0e+00", "[]", "0", "0"]


@pytest.mark.parametrize("steps", [1, 7, 8, 14, 20, 40])
def test_of_a_trail_at_most_seven_steps_print(steps: int) -> None:
    trail = tuple((8.0**-k, 2.0**-k) for k in range(steps))
    lines = str(report("wrong", variable("W", "wrong", trail=trail))).splitlines()
    step, = (line.split() for line in lines if line.startswith("step"))
    error, = (line.split() for line in lines if line.startswith("error"))
    assert len(step) == len(error)
    assert min(steps, 4) <= len(step) - 1 <= 7
    pairs = [(f"{s:.0e}", f"{e:.0e}") for s, e in trail]
    assert list(zip(step[1:], error[1:], strict=True)) == [p for p in pairs if p[0] in step]
    assert "step" not in str(report("correct", variable("W", "correct", trail=trail)))
