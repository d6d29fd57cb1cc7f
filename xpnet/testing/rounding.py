"""A gradient in float32 beside the same code's in float64: rounding, or a bug in one of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from xpnet.functional._array import Array, array_namespace
from xpnet.testing.elements import unravel
from xpnet.testing.report import Element, VariableReport, Verdict
from xpnet.testing.subject import Point

__all__ = ["check_rounding"]

Pair = Callable[[Point], tuple[Mapping[str, Array], Mapping[str, Array]]]
"""Gives the gradients at a point, computed in float32 and in float64, both as float64."""

USUAL = 64
"""Roundings that a gradient may be off by, of the size of its largest element."""

FLOAT32_TINY = 2.0**-126
"""The smallest normal number of float32."""


def check_rounding(
    pair: Pair,
    point: Point,
    names: list[str],
    eps: float,
    *,
    effect: Callable[[str], float],
    rounded: Callable[[], Iterable[Point]],
    beside: Callable[[], Iterable[Point]],
    shrunk: Callable[[], Iterable[Point]],
) -> list[VariableReport]:
    """Hold gradients in float32 against those that the same code finds in float64.

    Parameters
    ----------
    pair : callable
        Finds both.
    point : mapping
        Where they are held against each other, in float32.
    names : list of str
        The variables.
    eps : float
        Of float32.
    effect : callable
        Takes a variable's name; gives a gradient of what size makes a difference to the value.
    rounded : callable
        Gives points that differ from `point` by rounding. Where that changes a gradient as much as
        computing in float32 does, the difference is rounding.
    beside : callable
        Gives points a little away. A difference that is gone there is that of a kink so near that
        rounding steps over it.
    shrunk : callable
        Gives points nearer to 0. A difference below the rounding of what the gradient is there is that
        of a function that is saturated here, as softmax for large scores.
    """
    own, wide = pair(point)
    reports = {name: _compare(name, own[name], wide[name], eps) for name in names}
    doubtful = [name for name in names if reports[name].verdict != "correct"]
    if not doubtful:
        return list(reports.values())
    rounded_gradients = [pair(p)[0] for p in rounded()]
    beside_gradients = [pair(p) for p in beside()]
    shrunk_gradients = [pair(p)[1] for p in shrunk()]
    for name in doubtful:
        off = _largest(own[name] - wide[name])
        spread = max(_largest(g[name] - own[name]) for g in rounded_gradients)
        elsewhere = max((_largest(g[name]) for g in shrunk_gradients), default=0.0)
        verdict: Verdict
        if off <= 16 * spread + _usual(wide[name], eps):
            verdict = "correct" if off <= eps ** (1 / 4) * _largest(wide[name]) else "imprecise"
        elif off <= USUAL * eps * max(elsewhere, effect(name)):
            verdict = "imprecise"
        elif all(_compare(name, o[name], w[name], eps).verdict == "correct" for o, w in beside_gradients):
            verdict = "kink"
        else:
            verdict = "wrong"
        reports[name] = _compare(name, own[name], wide[name], eps, verdict)
    return list(reports.values())


def _compare(
    name: str, own: Array, wide: Array, eps: float, verdict: Verdict | None = None
) -> VariableReport:
    xp = array_namespace(own)
    shape = tuple(own.shape)
    if math.prod(shape) == 0:
        return VariableReport(name, shape, "correct", Element(name, None, 0.0, 0.0, 0.0), 0.0, math.nan, ())
    off = xp.reshape(xp.abs(own - wide), (-1,))
    k = int(xp.argmax(off))
    b, e = (float(xp.reshape(a, (-1,))[k]) for a in (own, wide))
    largest = max(_largest(wide), abs(b))
    if verdict is None:
        verdict = "correct" if abs(b - e) <= _usual(wide, eps) else "wrong"
    element = Element(name, unravel(k, shape), b, e, abs(b - e) / (largest or 1.0))
    return VariableReport(name, shape, verdict, element, USUAL * eps, math.nan, ())


def _usual(wide: Array, eps: float) -> float:
    """Give what rounding may do to a gradient, and underflow, of which float64 knows nothing."""
    return USUAL * (eps * _largest(wide) + FLOAT32_TINY)


def _largest(x: Array) -> float:
    xp = array_namespace(x)
    return float(xp.max(xp.abs(x))) if math.prod(x.shape) else 0.0
