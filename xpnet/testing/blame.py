"""Finding the elements of a wrong gradient that are wrong, and what they have in common."""

from __future__ import annotations

import math
from dataclasses import replace

from xpnet.testing._host import Draws
from xpnet.testing.causes import Pair, guess, ignores_inputs
from xpnet.testing.directions import check_directions
from xpnet.testing.elements import judged, number, unravel
from xpnet.testing.report import VariableReport
from xpnet.testing.sites import Site

__all__ = ["blame"]

SAMPLE = 256
"""How many elements are looked at for a pattern; all, if there are no more."""


def blame(site: Site, report: VariableReport, draws: Draws) -> VariableReport:
    """Name the worst element of a wrong gradient, and guess at the cause.

    What was found along a direction may turn out, element by element, to be a kink.
    """
    known = report.worst.index
    known_number = None if known is None else number(known, report.shape)
    pairs = _sample(site, report.name, report.step, draws, known_number)
    if report.worst.index is None and pairs:
        worst = max(pairs, key=lambda pair: pair.off)
        element = judged(site, report.name, number(worst.element, report.shape), 0.0)
        if element.verdict == "kink":
            return element
        if element.verdict == "wrong":
            report = element
    cause = guess(site, report.name, pairs)
    if cause is None and _right_for_one_row(site, report.name, draws):
        cause = "right for one row, wrong for several: is a sum over the batch missing?"
    if cause is None and ignores_inputs(site, report.name, draws):
        cause = f"the gradient of {report.name} is the same for other inputs: is it that of an earlier?"
    return replace(report, cause=cause)


def _sample(
    site: Site, name: str, step: float, draws: Draws, known: int | None
) -> list[Pair]:
    """Look at some elements one by one, among them one that is wrong: the one known, if any.

    Else, in a large array it is searched for: in the eighth of the elements whose sum is furthest off, in
    the worst eighth of that, and so on.
    """
    shape = tuple(site.point[name].shape)
    n = math.prod(shape)
    chosen = set(draws.choice(n, SAMPLE if n <= SAMPLE else SAMPLE // 4))
    lo, hi = (0, n) if n > SAMPLE and known is None else (0, 0)
    chosen |= set() if known is None else {known}
    while hi - lo > SAMPLE // 4:
        width = -(-(hi - lo) // 8)
        groups = [(k, min(k + width, hi)) for k in range(lo, hi, width)]
        found = site.slopes(name, groups, step)
        lo, hi = max(zip(found, groups, strict=True), key=lambda f: abs(f[0][0] - f[0][1]))[1]
    numbers = sorted(chosen | set(range(lo, hi)))
    slopes = site.slopes(name, [(k, k + 1) for k in numbers], step)
    return [Pair(unravel(k, shape), b, e) for k, (b, e) in zip(numbers, slopes, strict=True)]


def _right_for_one_row(site: Site, name: str, draws: Draws) -> bool:
    inputs = site.subject.inputs
    first = next(iter(inputs.values()))
    rows = first.shape[0] if first.ndim > 1 else 1
    of_batch = [key for key, x in inputs.items() if x.ndim and x.shape[0] == rows]
    if rows == 1 or name in of_batch:
        return False
    point = {key: x[:1, ...] if key in of_batch else x for key, x in site.point.items()}
    try:
        one_row = Site(site.subject, point, draws)
        return all(v.verdict == "correct" for v in check_directions(one_row, [name], 2))
    except Exception:  # noqa: BLE001  it does not know batches of one row
        return False
