"""A gradient check, from the first evaluation to the verdict."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Literal, TypeAlias, get_args

from xpnet.functional._array import Array, array_namespace, device
from xpnet.testing._host import Draws, float64_is_on, float64_switched, has_float64
from xpnet.testing.blame import blame
from xpnet.testing.directions import check_directions
from xpnet.testing.elements import check_elements
from xpnet.testing.precision import is_float32, same, widened, widened_array
from xpnet.testing.report import GradientReport, VariableReport, Verdict, severity
from xpnet.testing.rounding import check_rounding
from xpnet.testing.sites import Site, beside, copied, elsewhere, norm, scale_of
from xpnet.testing.structure import check_structure
from xpnet.testing.subject import Point, Subject

__all__ = ["MODES", "Inquiry", "Mode"]

Mode: TypeAlias = Literal["random", "full", "structured"]
MODES = get_args(Mode)
ATTEMPTS = 3
"""How often to look beside a kink."""
HOW = {
    "random": "{} random directions",
    "full": "every element",
    "structured": "every element, through the layers' tangents",
}


class Inquiry:
    """One gradient check, step by step.

    Parameters
    ----------
    subject : Subject
    mode : str
        One of `MODES`.
    count : int
        How many random directions.
    threads : int
        For `full`.
    draws : Draws
        All that is random.
    """

    def __init__(
        self, subject: Subject, mode: Mode, count: int, threads: int, draws: Draws
    ) -> None:
        self._subject, self._mode, self._draws = subject, mode, draws
        self._count, self._threads = count, threads
        self._point: Point = {name: copied(x) for name, x in subject.point.items()}
        self._notes: list[str] = []
        self._is_wide = False
        self._hidden = False
        """Whether rounding hides the answer at the reference, too."""

    def report(self) -> GradientReport:
        """Come to a verdict."""
        kept = {name: copied(x) for name, x in self._point.items()}
        self._visit_elsewhere()
        own = Site(self._subject, self._point, self._draws)
        verdict = self._spoiled(own, kept)
        if verdict is not None:
            return self._summary(own, verdict)
        with self._float64(own) as reference:
            found = self._find(own, reference)
        self._notes += [f"{v.name} is empty: there was nothing to check" for v in found
                        if 0 in v.shape]
        return self._summary(own, max(found, key=severity).verdict, found)

    def _visit_elsewhere(self) -> None:
        """Use it at another point first, to find out a layer that keeps what it sees there."""
        point = dict(self._point)
        for name in self._subject.movable:
            point[name] = elsewhere(point[name], self._draws)
        with contextlib.suppress(Exception):  # if it is no accident of that point, it comes again
            Site(self._subject, point, self._draws)

    def _spoiled(self, own: Site, kept: Point) -> Verdict | None:
        """Look for what makes all differences pointless."""
        changed = [name for name, x in kept.items() if not same(x, self._point[name])]
        if own.dout_changed:
            changed.append("dout")
        if changed:
            self._notes.append(f"{' and '.join(changed)} came back changed")
            return "mutates its input"
        infinite = [f"the gradient of {name}" for name, g in own.gradients.items()
                    if not _finite(g)]
        if not _finite(own.value):
            infinite.insert(0, "the value")
        if infinite:
            self._notes.append(f"not finite: {', '.join(infinite)}")
            return "not finite"
        again = self._subject.value(self._point)
        if not same(again, own.value, roundings=16):
            self._notes.append("pass a seed or a mask in, or fix it in a closure, to check the rest")
            return "nondeterministic"
        return None

    @contextlib.contextmanager
    def _float64(self, own: Site) -> Iterator[Site]:
        """Give the site at which differences are taken: the same in float64, where that can be."""
        if not any(map(is_float32, (own.value, *(self._point[name] for name in own.gradients)))):
            yield own
            return
        xp = array_namespace(own.value)
        self._float64_was_on = float64_is_on(xp)
        if not self._subject.can_cast:
            self._notes.append("checked in float32 alone: the parameters cannot be replaced by others "
                               "of float64")
            yield own
        elif not has_float64(own.value):
            self._notes.append(f"checked in float32 alone, which is all that {device(own.value)} has")
            yield own
        else:
            with float64_switched(xp, on=True):
                wide = self._widened(own)
                self._is_wide = wide is not None
                yield wide or own

    def _widened(self, own: Site) -> Site | None:
        try:
            point, dout = widened(self._point), widened_array(own.dout)
            wide = Site(self._subject, point, self._draws, dout)
        except Exception as error:  # noqa: BLE001  whatever it is, there is no float64 of this code
            self._notes.append(f"checked in float32 alone; in float64, {self._subject.name} fails: "
                               f"{type(error).__name__}: {' '.join(str(error).split())}")
            return None
        if is_float32(wide.value):
            self._notes.append(f"{self._subject.name} computes in float32 whatever it is given")
        return wide

    def _find(self, own: Site, reference: Site) -> list[VariableReport]:
        """Check all gradients in the mode that was asked for, beside kinks, and in float32."""
        names = list(reference.gradients)
        in_float32 = self._rounding(own, reference) if own is not reference else {}
        if self._mode == "random":
            found = check_directions(reference, names, self._count)
        elif self._mode == "full":
            found = [check_elements(reference, name, self._threads) for name in names]
        else:
            found, notes = check_structure(reference, names)
            self._notes += notes
        judged = []
        for report in found:
            if report.verdict == "wrong":
                report = blame(reference, report, self._draws)
            if report.verdict == "wrong" and self._is_rounding(reference, report):
                report = replace(report, verdict="imprecise", cause=None)
            if report.verdict == "kink":
                report = self._beside_kink(reference, report)
            self._hidden |= report.verdict == "imprecise"
            worse = max(report, in_float32.get(report.name, report), key=severity)
            if worse is not report and worse.verdict == "wrong":
                worse = replace(worse, cause="wrong in float32, right in float64")
            judged.append(worse)
        return judged

    def _rounding(self, own: Site, reference: Site) -> dict[str, VariableReport]:
        """Hold the gradients in float32 against those in float64."""
        if (self._subject.fixed_gradient or not is_float32(own.value)
                or is_float32(reference.value)):
            return {}
        names = [name for name in own.gradients if is_float32(self._point[name])]
        xp = array_namespace(own.value)
        was_on = self._float64_was_on

        def pair(point: Point) -> tuple[Mapping[str, Array], Mapping[str, Array]]:
            if point is self._point:
                mine, wide = own.gradients, reference.gradients
            else:
                with float64_switched(xp, on=was_on):
                    mine = self._subject.gradients(point, own.dout)
                wide = self._subject.gradients(widened(point), reference.dout)
            return widened(mine), wide

        def moved(share: float) -> Point:
            return {name: x + share * x * self._draws.direction(x) if name in names else x
                    for name, x in self._point.items()}

        found = check_rounding(
            pair, self._point, names, own.eps, effect=reference.effect,
            rounded=lambda: [moved(own.eps) for _ in range(3)],
            beside=lambda: [self._beside(self._point, names, k) for k in range(2)],
            shrunk=lambda: self._shrunk(self._point),
        )
        if any(report.verdict == "wrong" for report in found):
            self._notes.append("what is wrong in float32 alone is held against the same code in float64")
        return {report.name: report for report in found}

    def _shrunk(self, point: Point) -> list[Point]:
        """Give points nearer to 0, where what is saturated here is not: down to sizes of about 1."""
        names = self._subject.movable
        largest = max((scale_of(point[name]) for name in names), default=1.0)
        powers = range(1, max(3, math.ceil(math.log(largest, 8)) + 1))
        return [{name: x * 8.0**-k if name in names else x for name, x in point.items()}
                for k in powers]

    def _is_rounding(self, site: Site, report: VariableReport) -> bool:
        """Tell whether a gradient is nothing but rounding beside what it is elsewhere."""
        if self._subject.fixed_gradient:
            return False
        found, name = report.worst, report.name
        unit = 1.0 if found.index is not None else site.scale(name)
        try:
            elsewhere = max(norm(self._subject.gradients(point, site.dout)[name])
                            for point in self._shrunk(site.point))
        except Exception:  # noqa: BLE001  there is no elsewhere
            return False
        return max(abs(found.backward), abs(found.numerical)) / unit <= 64 * site.eps * elsewhere

    def _beside(self, point: Point, names: list[str], attempt: int) -> Point:
        absolute = attempt % 2 == 1
        return {name: beside(x, self._draws, absolute=absolute) if name in names else x
                for name, x in point.items()}

    def _beside_kink(self, reference: Site, report: VariableReport) -> VariableReport:
        """Judge again a little away from a kink: a bug is still one there."""
        if self._subject.fixed_gradient:
            return report
        for attempt in range(ATTEMPTS):
            point = self._beside(reference.point, list(reference.gradients), attempt)
            site = Site(self._subject, point, self._draws)
            found, = check_directions(site, [report.name], self._count)
            if found.verdict == "wrong":
                found = blame(site, found, self._draws)
            if found.verdict == "wrong":
                self._notes.append(f"{report.name} lies on a kink, and is wrong beside it, too: the "
                                   "figures are from there")
                return found
            if found.verdict == "correct":
                self._notes.append(f"{report.name} lies on a kink; beside it, its gradient is correct")
                return report
        return report

    def _summary(
        self, own: Site, verdict: Verdict, found: list[VariableReport] | None = None
    ) -> GradientReport:
        x = next((self._point[name] for name in own.gradients), own.value)
        library = array_namespace(x).__name__.removeprefix("array_api_compat.")
        how = HOW[self._mode].format(self._count) + (", in float64" if self._is_wide else "")
        if verdict == "imprecise":
            told = is_float32(x) and not (self._is_wide and self._hidden)
            self._notes.append("float64 would tell" if told else
                               "not even float64 tells here: take smaller values, or a smaller part")
        return GradientReport(
            verdict, self._subject.name,
            f"{library} {str(x.dtype).rpartition('.')[2]} on {device(x)}",
            how, tuple(found or ()), tuple(dict.fromkeys(self._subject.notes + self._notes)),
        )


def _finite(x: Array) -> bool:
    xp = array_namespace(x)
    return bool(xp.all(xp.isfinite(x)))
