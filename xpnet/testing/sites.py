"""A subject at a point: its value, its gradients, and lines away from there."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from xpnet.functional._array import Array, array_namespace, device
from xpnet.testing._host import Draws
from xpnet.testing.lines import Judgement, Measure, judge
from xpnet.testing.subject import Point, Subject

__all__ = ["Site", "beside", "copied", "elsewhere", "norm", "numbers", "scale_of", "total"]

FLOAT32_EPS = 2.0**-23


class Site:
    """A subject at a point, with a cotangent `dout` and the gradients that go with it.

    Attributes
    ----------
    point : mapping
        The inputs and the parameters.
    value : array
        The subject's value there.
    dout : array
        Of the shape of the value.
    dout_is_free : bool
        Whether the subject takes any.
    gradients : dict
        Of `sum(dout * value)`, by the names of the variables, as the subject's backward has them.
    """

    _seen_moved = False
    dout_changed = False
    """Whether the subject's backward has written into it."""

    def __init__(
        self, subject: Subject, point: Point, draws: Draws, dout: Array | None = None
    ) -> None:
        self.subject = subject
        self.point = point
        self.value = copied(subject.value(point))  # it may be a buffer that the next one overwrites
        self._draws = draws
        self._scales: dict[str, float] = {}
        self.eps = 0.0
        self.turn(dout)

    def turn(self, dout: Array | None = None) -> None:
        """Take another `dout`, drawn if none is given, and find its gradients."""
        only = self.subject.dout_like(self.value)
        self.dout_is_free = only is None
        if dout is None:
            dout = only
        self.dout = self._draws.direction(self.value) if dout is None else dout
        given = copied(self.dout)
        found = self.subject.gradients(self.point, given)
        self.dout_changed |= not bool(array_namespace(given).all(given == self.dout))
        self.gradients = {
            name: array_namespace(g).astype(g, self.point[name].dtype)
            for name, g in found.items()
        }
        self._value_size = norm(self.dout * self.value)
        self._noise: dict[str, float] = {}
        # Not less than before: what was found to be coarser than its dtype remains so.
        self.eps = max(self.eps, *map(_eps, (self.value, *(self.point[name] for name in found))))
        self.gradient_eps = max(map(_eps, found.values()))

    def scale(self, name: str) -> float:
        """Give the size of a variable's elements, by which steps are measured."""
        if name not in self._scales:
            self._scales[name] = scale_of(self.point[name])
        return self._scales[name]

    def effect(self, name: str) -> float:
        """Give the size of a gradient by which the variable's own scale would change all the value."""
        return self._value_size / self.scale(name)

    def direction(self, name: str, *, relative: bool = False) -> Array:
        """Draw a direction for a variable: of about its scale, or, `relative`, each element's own."""
        x = self.point[name]
        return (abs(x) if relative else self.scale(name)) * self._draws.direction(x)

    def change(self, name: str, direction: Array) -> Callable[[float], float]:
        """Make the function that tells how `sum(dout * value)` changes after a step."""
        x = self.point[name]

        def change(step: float) -> float:
            moved = self.subject.value({**self.point, name: x + step * direction})
            return total(self.dout * (moved - self.value))

        return change

    def judge_randomly(self, name: str) -> tuple[float, Judgement]:
        """Judge the gradient of one variable along a random direction; give the expected slope."""
        expected, found = self._judge_along(name, self.direction(name))
        if found.finding in ("unsettled", "not finite"):
            # Elements that are small beside others may want small steps: near a kink, for a logarithm.
            expected, found = self._judge_along(name, self.direction(name, relative=True))
        return expected, found

    def _judge_along(self, name: str, direction: Array) -> tuple[float, Judgement]:
        shares = self.gradients[name] * direction
        expected = total(shares)
        if name not in self._noise:
            # The step itself is rounded, too, as a share of the variable.
            self._noise[name] = norm(self.gradients[name] * self.point[name])
        size, noise = norm(shares), self._noise[name]
        change = self.change(name, direction)
        found = judge(change, expected, self.measure(size, noise))
        if (size == 0 or found.finding != "correct") and self._is_secretly_float32():
            found = judge(change, expected, self.measure(size, noise))
        return expected, found

    def _is_secretly_float32(self) -> bool:
        """Tell whether float64 values are float32's: then expect the rounding of these, from now on."""
        if self.eps >= FLOAT32_EPS or self._seen_moved:
            return False
        self._seen_moved = True
        xp, point = array_namespace(self.value), dict(self.point)
        for name in self.subject.movable:
            point[name] = beside(point[name], self._draws, absolute=False)
        value = self.subject.value(point)
        rounded = xp.astype(xp.astype(value, xp.float32), value.dtype)
        split = value * (2.0**41 + 1)
        twelve_bits = split - (split - value)  # Veltkamp's: a few numbers happen to have no more
        if bool(xp.all(rounded == value) & xp.any(twelve_bits != value)):
            self.eps = FLOAT32_EPS
        return self.eps == FLOAT32_EPS

    def judge_element(self, name: str, index: int, size: float) -> Judgement:
        """Judge one element, given by its number, of a gradient of about this size."""
        x, g = self.point[name], self.gradients[name]
        xp, scale = array_namespace(x), self.scale(name)
        b = float(xp.reshape(g, (-1,))[index])
        here = numbers(x) == index

        def along(step: float) -> Judgement:
            direction = xp.where(here, xp.full_like(x, step), xp.zeros_like(x))
            return judge(self.change(name, direction), b * step, self.measure(size * step)).per(step)

        found = along(scale)
        own = abs(float(xp.reshape(x, (-1,))[index]))
        return along(own) if found.finding in ("unsettled", "not finite") and own else found

    def measure(self, size: float, noise: float = 0.0) -> Measure:
        """Say what to hold slopes against; `noise`, beside the value's, in units of the epsilon."""
        noise = self.eps * (self._value_size + noise)
        return Measure(size, self._value_size, noise, self.eps, self.gradient_eps)

    def slopes(self, name: str, groups: Sequence[tuple[int, int]], step: float) -> list[tuple[float, float]]:
        """Give the expected slope and the difference quotient for ranges of elements moved together.

        Both are per unit of the variable. Elements of a group move by random signs and amounts.
        """
        x, g = self.point[name], self.gradients[name]
        xp, order = array_namespace(x), numbers(x)
        found = []
        for lo, hi in groups:
            inside = (order >= lo) & (order < hi)
            spread = self._draws.direction(x) if hi - lo > 1 else xp.ones_like(x)
            direction = xp.where(inside, spread, xp.zeros_like(x))
            change = self.change(name, self.scale(name) * direction)
            quotient = (change(step) - change(-step)) / (2 * step * self.scale(name))
            found.append((total(g * direction), quotient))
        return found


def scale_of(x: Array) -> float:
    """Give the root mean square of an array, 1 if it is 0 or empty."""
    xp = array_namespace(x)
    if math.prod(x.shape) == 0:
        return 1.0
    largest = float(xp.max(xp.abs(x)))
    return largest * math.sqrt(float(xp.mean((x / largest) ** 2))) if largest else 1.0


def copied(x: Array) -> Array:
    """Give a copy, which may be written to where the library can."""
    return array_namespace(x).asarray(x, copy=True)


def elsewhere(x: Array, draws: Draws) -> Array:
    """Give an array of the same kind of numbers, in other places: backwards, each changed a little."""
    xp = array_namespace(x)
    return _moved(xp.flip(x), draws, 1 / 8) if x.ndim else _moved(x, draws, 1 / 8)


def beside(x: Array, draws: Draws, *, absolute: bool) -> Array:
    """Move each element by about a hundredth: of itself, or, `absolute`, of the scale."""
    return _moved(x, draws, 1 / 128, absolute=absolute)


def _moved(x: Array, draws: Draws, share: float, *, absolute: bool = False) -> Array:
    xp = array_namespace(x)
    if not xp.isdtype(x.dtype, "real floating"):
        return x
    scale = xp.full_like(x, scale_of(x))
    size = scale if absolute else xp.where(x == 0, scale, xp.abs(x))
    return x + share * size * draws.direction(x)


def _eps(x: Array) -> float:
    return float(array_namespace(x).finfo(x.dtype).eps)


def total(x: Array) -> float:
    """Give the sum of all elements."""
    return float(array_namespace(x).sum(x))


def norm(x: Array) -> float:
    """Give the root of the sum of squares, which must not overflow."""
    xp = array_namespace(x)
    if math.prod(x.shape) == 0:
        return 0.0
    largest = float(xp.max(xp.abs(x)))
    if not 0 < largest < math.inf:
        return largest
    return largest * math.sqrt(float(xp.sum((x / largest) ** 2)))


def numbers(x: Array) -> Array:
    """Give each element of an array its number."""
    xp = array_namespace(x)
    return xp.reshape(xp.arange(math.prod(x.shape), device=device(x)), x.shape)
