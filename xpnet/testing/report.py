"""What a gradient check found, and how it prints."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Element", "GradientReport", "VariableReport", "Verdict", "severity"]

Verdict: TypeAlias = Literal[
    "correct", "wrong", "kink", "imprecise", "nondeterministic", "not finite", "mutates its input"
]

MEANING: dict[str, str] = {
    "correct": "the gradients agree with differences",
    "wrong": "the gradients do not agree with differences",
    "kink": "no derivative here: differences to the left and to the right disagree",
    "imprecise": "rounding hides the answer",
    "nondeterministic": "the same input gave two values",
    "not finite": "NaN or infinity, from finite inputs",
    "mutates its input": "an array that was passed in came back changed",
}


@dataclass(frozen=True)
class Element:
    """One element of a gradient, or its slope along a direction.

    Attributes
    ----------
    name : str
        The variable's.
    index : tuple of int, or None
        Which element; None for a random direction, through all of them.
    backward : float
        What the backward says.
    numerical : float
        What differences say.
    error : float
        Their difference, relative to the size of the gradient: the root mean square of its
        elements, or, for a direction, that of sums of such elements.
    """

    name: str
    index: tuple[int, ...] | None
    backward: float
    numerical: float
    error: float


@dataclass(frozen=True)
class VariableReport:
    """What was found of the gradient of one variable: an input or a parameter.

    Attributes
    ----------
    name : str
    shape : tuple of int
    verdict : str
        As for the whole report.
    worst : Element
        Where it is worst.
    resolution : float
        What differences could tell apart here, relative as `worst.error` is.
    step : float
        At which `worst.numerical` was found, relative to the size of the variable's elements.
    trail : tuple of (float, float)
        How the error depends on the step: steps, falling, and the errors of their differences.
    cause : str or None
        A guess at what is wrong, where the pattern is plain.
    """

    name: str
    shape: tuple[int, ...]
    verdict: Verdict
    worst: Element
    resolution: float
    step: float
    trail: tuple[tuple[float, float], ...]
    cause: str | None = None


@dataclass(frozen=True)
class GradientReport:
    """What `check_gradients` found. It is true if all gradients are correct, and prints as a table.

    Attributes
    ----------
    verdict : str
        "correct", "wrong", "kink", "imprecise", "nondeterministic", "not finite" or "mutates its
        input".
    subject : str
        What was checked.
    where : str
        The library, dtype and device.
    how : str
        In words.
    variables : tuple of VariableReport
        One for each gradient; empty if it did not come to that.
    notes : tuple of str
        What else there is to know.
    """

    verdict: Verdict
    subject: str
    where: str
    how: str
    variables: tuple[VariableReport, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the verdict is "correct"; nothing else is ok."""
        return self.verdict == "correct"

    def __bool__(self) -> bool:
        return self.ok

    @property
    def worst(self) -> Element | None:
        """The worst element of the variable that decided the verdict."""
        deciding = self._deciding()
        return deciding.worst if deciding else None

    @property
    def cause(self) -> str | None:
        """A guess at what is wrong with that variable, where the pattern is plain."""
        deciding = self._deciding()
        return deciding.cause if deciding else None

    @property
    def trail(self) -> tuple[tuple[float, float], ...]:
        """How the error depends on the step, for that variable: (step, relative error), falling."""
        deciding = self._deciding()
        return deciding.trail if deciding else ()

    def _deciding(self) -> VariableReport | None:
        of_verdict = [v for v in self.variables if v.verdict == self.verdict]
        return max(of_verdict, key=severity, default=None)

    def __str__(self) -> str:
        lines = [f"{self.subject}: {self.verdict} ({MEANING[self.verdict]})",
                 f"{self.where}; {self.how}"]
        if self.variables:
            rows = [_HEADER, *(_row(v) for v in self.variables)]
            widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
            lines += ["  ".join(cell.ljust(width) if k < 3 else cell.rjust(width)
                                for k, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
                      for row in rows]
        if self.trail and not self.ok:
            shown = self.trail[::-(-len(self.trail) // 7)]
            lines.append("step   " + "".join(f"{step:9.0e}" for step, _ in shown))
            lines.append("error  " + "".join(f"{error:9.0e}" for _, error in shown))
        lines += [f"{v.name}: {v.cause}" for v in self.variables if v.cause]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def __repr__(self) -> str:
        return f"<GradientReport\n{self}\n>"


_HEADER = ("", "shape", "verdict", "error", "at", "backward", "numerical")


def _row(v: VariableReport) -> tuple[str, ...]:
    index = v.worst.index
    at = "a direction" if index is None else f"[{', '.join(map(str, index))}]"
    return (v.name, str(v.shape), v.verdict, f"{v.worst.error:.1e}", at,
            f"{v.worst.backward + 0.0:.6g}", f"{v.worst.numerical + 0.0:.6g}")  # 0, not -0


def severity(v: VariableReport) -> tuple[int, float]:
    """Tell how bad a finding is, for comparisons."""
    return _WORSE.index(v.verdict), _order(v.worst.error)


_WORSE: tuple[Verdict, ...] = ("correct", "imprecise", "kink", "not finite", "wrong")


def _order(error: float) -> float:
    return float("inf") if math.isnan(error) else error
