"""Guesses at what is wrong with a gradient, where the pattern is plain."""

from __future__ import annotations

import math
from typing import NamedTuple

from xpnet.functional._array import Array, array_namespace
from xpnet.testing._host import Draws
from xpnet.testing.sites import Site, elsewhere

__all__ = ["Pair", "guess", "ignores_inputs"]


class Pair(NamedTuple):
    """An element of a gradient, as backward and as differences have it."""

    element: tuple[int, ...]
    backward: float
    numerical: float

    @property
    def off(self) -> float:
        """How far they are apart; infinity for NaN."""
        off = abs(self.backward - self.numerical)
        return math.inf if math.isnan(off) else off


def guess(site: Site, name: str, found: list[Pair]) -> str | None:
    """Say in words what pattern the wrong elements of a gradient have, None if there is none."""
    found = [s for s in found if math.isfinite(s.numerical)]
    largest = max((max(abs(s.backward), abs(s.numerical)) for s in found), default=0.0)
    near = 1e-4 * largest  # differences at one step, of a tenth of it, are worth four digits
    wrong = [s for s in found if not s.off <= near]
    if not wrong:
        return None
    if all(abs(s.backward) <= near for s in found):
        return f"the gradient of {name} is zero, the derivative is not"
    if all(abs(s.numerical) <= near for s in found):
        return f"the value does not change with {name}: is it this array that forward reads?"
    if _accumulates(site, name):
        return "backward, called twice, gives two gradients: it adds to what the last call left"
    if _ignores_dout(site, name):
        return "backward ignores dout"
    return (_factor(site, found, near) or _transpose(site, name, found, near)
            or _single(name, found, wrong) or _mask(found, wrong)
            or _place(site, name, found, wrong))


def ignores_inputs(site: Site, name: str, draws: Draws) -> bool:
    """Tell whether a gradient is the same at another point."""
    if site.subject.fixed_gradient:
        return False
    point = {key: elsewhere(x, draws) if key in site.subject.movable else x
             for key, x in site.point.items()}
    return not _differ(site.subject.gradients(point, site.dout)[name], site.gradients[name])


def _accumulates(site: Site, name: str) -> bool:
    if site.subject.fixed_gradient:
        return False
    first, second, third = (
        array_namespace(site.dout).asarray(site.subject.gradients(site.point, site.dout)[name], copy=True)
        for _ in range(3))
    return _differ(first, second) and not _differ(second - first, third - second)


def _ignores_dout(site: Site, name: str) -> bool:
    if not site.dout_is_free:
        return False
    doubled = site.subject.gradients(site.point, 2 * site.dout)[name]
    return not _differ(doubled, site.gradients[name])


def _differ(a: Array, b: Array) -> bool:
    xp = array_namespace(a, b)
    return bool(xp.any(xp.abs(a - b) > 1e-6 * xp.max(xp.abs(b))))


def _factor(site: Site, found: list[Pair], near: float) -> str | None:
    squares = sum(s.numerical**2 for s in found)
    factor = sum(s.backward * s.numerical for s in found) / squares
    if not all(abs(s.backward - factor * s.numerical) <= near for s in found):
        return None
    if abs(factor + 1) < 1e-3:
        return "the sign is wrong"
    lengths: dict[int, str] = {}
    for key, x in {**site.subject.inputs, "the output": site.value}.items():
        for axis, n in enumerate(x.shape):
            lengths.setdefault(n, f"the length of axis {axis} of {key}")
    for key, x in site.subject.inputs.items():
        lengths.setdefault(math.prod(x.shape), f"the number of elements of {key}")
    known = {2.0: "2", 0.5: "1/2"}
    for n, what in lengths.items():
        if n > 1:
            known.setdefault(n, f"{n}, {what}")
            known.setdefault(1 / n, f"1/{n}, {n} being {what}")
    for value, text in known.items():
        if abs(abs(factor) / value - 1) < 1e-3:
            return f"a factor of {'-' if factor < 0 else ''}{text}"
    return f"a factor of {factor:.4g}"


def _transpose(site: Site, name: str, found: list[Pair], near: float) -> str | None:
    g = site.gradients[name]
    if g.ndim != 2 or g.shape[0] != g.shape[1]:
        return None
    transposed = [float(g[s.element[1], s.element[0]]) for s in found]
    if all(abs(t - s.numerical) <= near for t, s in zip(transposed, found, strict=True)):
        return "the gradient is the transpose of what it should be"
    return None


def _single(name: str, found: list[Pair], wrong: list[Pair]) -> str | None:
    if len(wrong) > 1 or len(found) < 8:
        return None
    return f"only the element {list(wrong[0].element)} of {name} is off, of {len(found)} looked at"


def _mask(found: list[Pair], wrong: list[Pair]) -> str | None:
    if len(wrong) == len(found):
        return None
    if all(abs(s.numerical) <= 1e-3 * abs(s.backward) for s in wrong):
        return "a mask is missing: where the derivative is zero, the gradient is not"
    if all(abs(s.backward) <= 1e-3 * abs(s.numerical) for s in wrong):
        return "the gradient is zero where the derivative is not: a mask too many, or the wrong one"
    return None


def _place(site: Site, name: str, found: list[Pair], wrong: list[Pair]) -> str | None:
    if len(wrong) == len(found):
        return None
    for axis, n in enumerate(site.point[name].shape):
        places = {s.element[axis] for s in wrong}
        if len(places) == 1 and n > 1:
            place = places.pop()
            return (f"only index {place} of axis {axis} of {name} is off"
                    + (", the last" if place == n - 1 else ""))
    return None
