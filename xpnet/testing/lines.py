"""Differences along a line, and what they say of a slope that is expected there.

A single step proves nothing: too long, and curvature and kinks come in; too short, and rounding
does. So a slope is *right* if differences at any step agree with it, to many digits, which seldom
happens by chance. (Of a bounded function, long steps see a slope of 0.) Only where none does are all steps looked at together: where the differences at
three neighbouring steps agree best, they are trusted, with their spread for an error bar.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

__all__ = ["Judgement", "Measure", "judge"]

RATIO = 8.0
SHORTER = 5
"""How often the first step is divided by that."""
LONGEST = 64.0
"""Where steps end: in units of the variable's scale, as all steps."""

SURE = 8.0
"""How many error bars apart two slopes are different."""
ROUNDINGS = 64.0
"""How many roundings a number may carry from what went before."""
MUCH = 2.0**16
"""How many roundings shorter steps have to show to count against longer ones."""

Finding: TypeAlias = Literal["correct", "wrong", "kink", "unsettled", "imprecise", "not finite"]
"""Unsettled: at steps too short for the rest to follow, the function does something else."""


@dataclass(frozen=True)
class Measure:
    """What a slope is held against, all in units of the function's value.

    Attributes
    ----------
    size : float
        How large slopes are here, the root of the sum of squares of what the elements contribute.
    value : float
        How large the value is that changes along the line.
    noise : float
        The least by which rounding changes it.
    eps : float
        Of the dtype of the values.
    gradient_eps : float
        Of the dtype that the gradient was computed in.
    """

    size: float
    value: float
    noise: float
    eps: float
    gradient_eps: float

    @property
    def tolerance(self) -> float:
        """Relative to `size`: six digits in float64, two and a half in float32."""
        return max(self.eps ** (3 / 8), ROUNDINGS * self.gradient_eps)

    @property
    def slack(self) -> float:
        """What the rounding of a coarser gradient may come to, relative to `size`."""
        return math.sqrt(self.gradient_eps) if self.gradient_eps > self.eps else 0.0

    @property
    def coarse(self) -> float:
        """The error bar, relative to `size`, from which on differences say nothing: four digits."""
        return self.eps ** (1 / 4)

    @property
    def first_step(self) -> float:
        """The shortest step at which rounding stays well below the tolerance."""
        distinct = self.tolerance * self.size
        if distinct == 0:
            return self.tolerance
        return min(max(ROUNDINGS * self.noise / distinct, math.sqrt(self.eps)), 1.0)


@dataclass(frozen=True)
class _Slopes:
    step: float
    left: float
    right: float

    @property
    def central(self) -> float:
        return (self.left + self.right) / 2

    @property
    def jump(self) -> float:
        return self.right - self.left

    @property
    def stuck(self) -> bool:
        """Whether the value did not move at all: lost in rounding, or truly constant."""
        return self.left == 0 == self.right

    @property
    def finite(self) -> bool:
        return math.isfinite(self.left) and math.isfinite(self.right)


@dataclass(frozen=True)
class Judgement:
    """What the differences along a line say.

    Attributes
    ----------
    finding : str
        Of the slope that was expected.
    slope : float
        The best difference quotient.
    error : float
        Its distance from the expected slope, relative to the size of slopes.
    bar : float
        The quotient's own error bar, likewise.
    step : float
        At which it was found.
    trail : tuple of (float, float)
        Steps, falling, and the errors of their quotients.
    """

    finding: Finding
    slope: float
    error: float
    bar: float
    step: float
    trail: tuple[tuple[float, float], ...]


    @property
    def verdict(self) -> Literal["correct", "wrong", "kink", "imprecise", "not finite"]:
        """The finding; where it is unsettled to the end, there is no derivative to be found."""
        return "kink" if self.finding == "unsettled" else self.finding

    def per(self, unit: float) -> Judgement:
        """Give the slope in units of the variable, for a line that moves it by `unit` at a step of 1."""
        return replace(self, slope=self.slope / unit)


def judge(change: Callable[[float], float], expected: float, measure: Measure) -> Judgement:
    """Judge a slope.

    Parameters
    ----------
    change : callable
        Takes a step, gives the change of the value from where the line begins.
    expected : float
        The slope there, as the backward claims it.
    measure : Measure
        What to hold it against.
    """
    size = max(measure.size, abs(expected))
    tried: list[_Slopes] = []
    if not math.isfinite(expected):
        return _judgement("not finite", tried, expected, None, math.nan, size)
    longer = int(math.log(LONGEST / measure.first_step, RATIO))
    for power in sorted(range(-SHORTER, longer + 1), key=abs):
        step = measure.first_step * RATIO**power
        slopes = _Slopes(step, -change(-step) / step, change(step) / step)
        tried.append(slopes)
        near = slopes.finite and abs(slopes.central - expected) <= measure.tolerance * size
        if near and (size or not slopes.stuck):  # that 0 is 0 says nothing by itself
            return _judgement("correct", tried, expected, slopes, measure.tolerance * size, size)
    return _weigh(tried, expected, measure, size)


def _weigh(tried: list[_Slopes], expected: float, measure: Measure, size: float) -> Judgement:
    """Judge from all steps together, none of which agrees by itself.

    "The plateau" is where neighbouring steps agree best, the bar how well. In this order:

    - no step stays where the function is finite: not finite;
    - short steps change nothing, and the others speak for the expected slope, or cannot tell: see
      `_judge_standstill`;
    - the expected slope is within SURE bars of the plateau: correct, or imprecise if the bar is long;
    - it is that of steps shorter than the plateau: correct, a kink lies between;
    - it and the plateau's are nothing but rounding: correct, or imprecise if only nearly so;
    - shorter steps show more than rounding: unsettled, or imprecise if what they show is noise;
    - the slopes to the left and to the right differ: kink;
    - else: wrong.
    """
    steps = sorted((s for s in tried if s.finite), key=lambda s: s.step)
    if not steps:
        return _judgement("not finite", tried, expected, None, math.nan, size)
    noise = measure.noise
    if 0 < sum(s.stuck for s in steps) < len(steps):
        judged, noise = _judge_standstill(tried, steps, expected, measure, size)
        if judged is not None:
            return judged
    best, bar = _plateau(steps, max(noise, _scatter(steps[:3])), measure, size)
    gap = abs(expected - steps[best].central)
    if gap <= max(SURE * bar, measure.slack * size):
        return _agreed(tried, expected, steps[best], bar, measure, size)
    larger = max(abs(steps[best].central), abs(expected))
    near = [s for s in steps[:best] if abs(expected - s.central) <= measure.coarse / 4 * size]
    finding: Finding
    if near and gap > measure.coarse * size:
        best = steps.index(near[-1])
        finding = "correct"
    elif larger <= 4 * measure.eps * measure.value:
        finding = "correct"
    elif larger <= ROUNDINGS * noise:
        finding = "imprecise"
    elif _residue(steps, best) > MUCH * noise:
        finding = "unsettled" if _is_steady(steps[:3]) else "imprecise"
    else:
        finding = "kink" if _is_kink(steps, best, bar) else "wrong"
    return _judgement(finding, tried, expected, steps[best], bar, size)


def _judge_standstill(
    tried: list[_Slopes], steps: list[_Slopes], expected: float, measure: Measure, size: float
) -> tuple[Judgement | None, float]:
    """Judge where short steps change nothing: lost in rounding, or because the value stands still.

    Returns
    -------
    judgement : Judgement or None
        If rounding explains it, and the other steps speak for the expected slope, or, where that is
        0, against it.
    noise : float
        The rounding of changes if it does not.
    """
    changes = [abs(slope) * s.step for s in steps for slope in (s.left, s.right) if slope]
    least = min(changes)  # that shows: rounding may swallow as much
    moving = [s for s in steps if not s.stuck]
    best, bar = _plateau(moving, max(measure.noise, least), measure, size)
    found = moving[best]
    slope = abs(found.central)
    agrees = abs(expected - found.central) <= SURE * bar
    still = max(s.step for s in steps if s.stuck)
    rounding = ROUNDINGS * measure.eps * max([measure.value, *changes])  # of the largest numbers
    judged = None
    if SURE * bar <= slope / 8:
        if agrees:
            judged = _agreed(tried, expected, found, bar, measure, size)
        elif expected == 0 and slope * still <= rounding:
            one_sided = abs(found.jump) > SURE * bar  # as behind a dead ReLU
            finding: Finding = "imprecise" if one_sided else "wrong"
            judged = _judgement(finding, tried, expected, found, bar, size)
    if judged is None and agrees and SURE * bar <= 4 * slope and least <= ROUNDINGS * measure.eps:
        # Changes as small as the rounding of 1, as those of 1 + x**2 - 1.
        judged = _judgement("imprecise", tried, expected, found, bar, size)
    return judged, max(measure.noise, min(rounding, least))


def _agreed(
    tried: list[_Slopes], expected: float, found: _Slopes, bar: float, measure: Measure, size: float
) -> Judgement:
    """Tell whether an agreement within the error bar means anything."""
    gap = abs(expected - found.central)
    resolved = (gap <= measure.coarse / 4 * size
                or gap <= SURE * bar <= SURE * measure.coarse * size)
    # A slope that is nothing beside the value, to as many digits, is known to be nothing.
    nothing = max(bar, abs(found.central), abs(expected)) <= measure.tolerance * measure.value
    finding: Finding = "correct" if resolved or nothing else "imprecise"
    return _judgement(finding, tried, expected, found, bar, size)


def _plateau(steps: list[_Slopes], noise: float, measure: Measure, size: float) -> tuple[int, float]:
    """Find the step whose slope agrees best with its neighbours', and how well.

    Those that agree well come first, the shortest, and those that go on from there: far away, a
    network is linear again. What steps shorter than one show besides its slope is rounding, and may be
    in that slope, too.
    """
    resolved = measure.coarse / 8 * size
    bars = []
    for k, s in enumerate(steps):
        neighbours = [steps[j] for j in (k - 1, k + 1) if 0 <= j < len(steps)]
        spread = max((abs(s.central - n.central) for n in neighbours), default=math.inf)
        rounding = (noise + _residue(steps, k)) / s.step
        bars.append(max(spread, rounding, 4 * measure.eps * abs(s.central)))
    run = list(itertools.takewhile(
        lambda k: bars[k] <= resolved,
        itertools.dropwhile(lambda k: bars[k] > resolved, range(len(bars))),
    ))
    best = min(run or range(len(bars)), key=bars.__getitem__)
    return best, bars[best]


def _residue(steps: list[_Slopes], k: int) -> float:
    """Give by how much changes at shorter steps differ from those that this step's slope means."""
    return max((abs(s.central - steps[k].central) * s.step for s in steps[:k]), default=0.0)


def _is_steady(steps: list[_Slopes]) -> bool:
    """Tell whether these steps show one slope, or one jump, and not noise."""
    slopes = [s.central for s in steps]
    jumps = [s.central * s.step for s in steps]
    return any(max(v) - min(v) <= max(map(abs, v)) / 2 for v in (slopes, jumps) if any(v))


def _scatter(steps: list[_Slopes]) -> float:
    """Measure noise: what values change by at these steps, if it is neither a slope nor a jump."""
    if _is_steady(steps):
        return 0.0
    return max(abs(slope) * s.step for s in steps for slope in (s.left, s.right))


def _is_kink(steps: list[_Slopes], best: int, bar: float) -> bool:
    """Tell whether the slopes to the left and to the right differ, and go on to at other steps.

    Where there is a derivative, their difference falls with the step, to an eighth at the next.
    """
    jump = abs(steps[best].jump)
    neighbours = [abs(steps[j].jump) for j in (best - 1, best + 1) if 0 <= j < len(steps)]
    return jump > 2 * SURE * bar and any(0.5 < jump / n < 2 for n in neighbours if n)


def _judgement(
    finding: Finding,
    tried: list[_Slopes],
    expected: float,
    found: _Slopes | None,
    bar: float,
    size: float,
) -> Judgement:
    slope, step = (found.central, found.step) if found else (math.nan, math.nan)
    scale = max(size, 0.0 if math.isnan(slope) else abs(slope)) or 1.0
    trail = tuple((s.step, abs(s.central - expected) / scale)
                  for s in sorted(tried, key=lambda s: -s.step))
    return Judgement(finding, slope, abs(slope - expected) / scale, bar / scale, step, trail)
