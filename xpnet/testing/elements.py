"""Gradients element by element: all at once, in stacks, then those in doubt one by one."""

from __future__ import annotations

import math
from collections.abc import Callable

import array_api_compat

from xpnet.functional._array import Array, array_namespace
from xpnet.gradient import numerical_gradient
from xpnet.stacked_gradient import chunk_elements, stacked_numerical_gradient
from xpnet.testing.directions import check_directions
from xpnet.testing.report import Element, VariableReport, severity
from xpnet.testing.sites import Site, copied, norm, scale_of, total

__all__ = ["check_against", "check_elements", "computes_stacks", "judged", "number", "unravel"]

EXAMINED = 64
"""How many elements in doubt are looked at one by one before the verdict, if it is bad, stands."""

Quotients = Callable[[float], Array]
"""Takes a step, relative to a variable's scale; gives difference quotients for all its elements."""


def check_elements(site: Site, name: str, threads: int = 1) -> VariableReport:
    """Check every element of the gradient of one variable."""
    x = site.point[name]

    def change(a: Array) -> float:
        return total(site.dout * (site.subject.value({**site.point, name: a}) - site.value))

    def changes(stack: Array) -> Array:
        values = site.subject.stacked_value(site.point, name, stack)
        shares = site.dout * (values - site.value)
        return array_namespace(shares).sum(shares, axis=tuple(range(1, shares.ndim))) \
            if shares.ndim > 1 else shares

    stacks = computes_stacks(
        lambda stack: site.subject.stacked_value(site.point, name, stack),
        lambda a: site.subject.value({**site.point, name: a}), x, site.value,
    )

    def quotients(step: float) -> Array:
        h = step * site.scale(name)
        if stacks:
            per_copy = max(math.prod(x.shape), math.prod(site.value.shape), 1)
            copies = chunk_elements(x) // per_copy
            return stacked_numerical_gradient(changes, x, h, copies=copies, threads=threads)
        return numerical_gradient(change, copied(x), h)

    found = check_against(site, name, quotients)
    # An element that is small beside others may agree at steps too long for it: one line tells.
    again, = check_directions(site, [name], 1)
    return found if again.verdict == "correct" else max(found, again, key=severity)


def check_against(
    site: Site, name: str, quotients: Quotients, step: float | None = None
) -> VariableReport:
    """Hold a gradient against difference quotients of all its elements.

    Elements that agree at one step or another are right. The others are judged one by one, the worst
    first, until one is wrong.
    """
    x, g = site.point[name], site.gradients[name]
    xp = array_namespace(x)
    shape, n = tuple(x.shape), math.prod(x.shape)
    size = norm(g) / math.sqrt(n or 1)  # of a typical element
    if n == 0:
        return VariableReport(name, shape, "correct", Element(name, None, 0.0, 0.0, 0.0), 0.0, math.nan, ())
    if size == 0:  # nothing to measure elements by, and one line sees them all
        return check_directions(site, [name], 4)[0]
    measure = site.measure(size * site.scale(name))
    allowed = measure.tolerance * (xp.abs(g) + size)
    best = numerical = None
    step = step or measure.first_step
    for factor in (1, 1 / 64, 64):
        found = quotients(factor * step)
        error = xp.where(xp.isfinite(found), xp.abs(found - g), xp.inf)
        numerical = found if best is None else xp.where(error < best, found, numerical)
        best = error if best is None else xp.minimum(error, best)
        doubtful = int(xp.sum(xp.astype(~(best <= allowed), xp.int64)))
        if doubtful <= EXAMINED // 8:
            break

    # The least right first: all in order only if there are some to be judged.
    rightness = -xp.reshape(best / (allowed + xp.finfo(x.dtype).smallest_normal), (-1,))
    order = xp.argsort(rightness) if doubtful else xp.reshape(xp.argmin(rightness), (1,))

    def report(index: int) -> VariableReport:
        b, e = (float(xp.reshape(a, (-1,))[index]) for a in (g, numerical))
        scale = max(size, abs(b), abs(e)) or 1.0
        element = Element(name, unravel(index, shape), b, e, abs(e - b) / scale)
        return VariableReport(name, shape, "correct", element, measure.tolerance, math.nan, ())

    found = [report(int(order[doubtful]))] if doubtful < n else []  # the worst of those that agree
    for rank in range(doubtful):
        if rank >= EXAMINED and any(v.verdict != "correct" for v in found):
            break
        found.append(judged(site, name, int(order[rank]), size))
        if found[-1].verdict == "wrong":
            break
    return max(found, key=severity)


def judged(site: Site, name: str, index: int, size: float) -> VariableReport:
    """Judge one element, of a gradient whose elements are about of this size."""
    x, g = site.point[name], site.gradients[name]
    shape = tuple(x.shape)
    b = float(array_namespace(g).reshape(g, (-1,))[index])
    j = site.judge_element(name, index, max(size, abs(b)))
    element = Element(name, unravel(index, shape), b, j.slope, j.error)
    return VariableReport(name, shape, j.verdict, element, j.bar, j.step, j.trail)


def computes_stacks(
    stacked: Callable[[Array], Array], single: Callable[[Array], Array], x: Array, value: Array
) -> bool:
    """Tell whether a function gives for a stack what it gives for its members, by trying it."""
    xp = array_namespace(x)
    first, second = x + scale_of(x) / 64, x - scale_of(x) / 32
    try:
        found = stacked(xp.stack([first, second]))
        if tuple(found.shape) != (2, *value.shape):
            return False
        expected = xp.stack([single(first), single(second)])
        largest = float(xp.max(xp.abs(expected))) if array_api_compat.size(value) else 0.0
        near = 1024 * float(xp.finfo(value.dtype).eps) * largest
        return bool(xp.all(xp.abs(found - expected) <= near))
    except Exception:  # noqa: BLE001  whatever a function says that knows no stacks
        return False


def unravel(index: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Turn an element's number into its index."""
    found = []
    for n in reversed(shape):
        index, k = divmod(index, n)
        found.append(k)
    return tuple(reversed(found))


def number(index: tuple[int, ...], shape: tuple[int, ...]) -> int:
    """Turn an element's index into its number."""
    found = 0
    for k, n in zip(index, shape, strict=True):
        found = found * n + k
    return found
