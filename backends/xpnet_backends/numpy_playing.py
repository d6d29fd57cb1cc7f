"""Steps of training, and functions of one array, on NumPy: recorded, and then played."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from xpnet_backends.numpy_recording import Call, CannotRecordError, Recording, moved

__all__ = ["PlayedFunction", "PlayedStep"]

SHAPES = 8
"""For how many shapes of its argument a function's calls are kept."""


class PlayedStep:
    """A pure function `(carry, *args) -> (carry, out)` that is called again and again with its own carry.

    The second call and the third, each of which takes what the one before gave, are recorded. If both
    are made of the same calls, the function is never called again: what was recorded is played, back and
    forth between two places for what is carried, so that what a step was given is whole until it is done.
    If not, as a layer has numbers of its own that change or looks at values, the function goes on being
    called.

    Parameters
    ----------
    step : callable
        The function. Its arguments are arrays, nested dictionaries of them, or None; where one is the
        same object at each call, only what it holds is looked at.
    """

    def __init__(self, step: Callable[..., Any]) -> None:
        self._step = step
        self._before: tuple[Any, tuple[Any, ...]] | None = None
        self._takes: list[_Take] = []
        self._can = True

    def __call__(self, carry: Any, *args: Any) -> Any:
        """Take a step. The carry that it gives lasts until the step after the next."""
        if len(self._takes) == 2:
            first, second = self._takes
            take = second if carry is first.carry else first
            if (carry is second.carry or take is second or first.takes_carry(carry)) and take.takes(args):
                return take.play()
        elif self._can:
            try:
                return self._recorded(carry, args)
            except CannotRecordError:
                self._can, self._takes = False, []
        return self._step(carry, *args)

    def _recorded(self, carry: Any, args: tuple[Any, ...]) -> Any:
        """Take one of the first steps."""
        before = self._before
        if before is None or before[0] is not carry:
            self._takes = []
            after, out = self._step(carry, *args)
            self._before = after, args
            return after, out
        same = [a is b for a, b in zip(args, before[1], strict=True)]
        take = _Take(self._step, carry, args, same, *self._takes)
        self._before = take.carry, args
        if not self._takes:
            self._takes = [take]
        elif take.is_like(self._takes[0]):
            take.lead_back_to(self._takes[0])
            self._takes.append(take)
            self._before = None
            for each in self._takes:
                each.forget()
        else:
            self._can, self._takes = False, []
        return take.carry, take.out()


class PlayedFunction:
    """A pure function of one array that is called again and again.

    The first call with a shape is recorded, and the next ones are played.

    Parameters
    ----------
    function : callable
        The function.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        self._plays: dict[Any, _Play | None] = {}
        self._lock = threading.Lock()  # two threads would write to the same places

    def __call__(self, x: Any) -> Any:
        """Compute the function."""
        if not isinstance(x, np.ndarray):
            return self._function(x)
        with self._lock:
            try:
                play = self._plays[x.shape, x.dtype]
            except KeyError:
                play = self._recorded(x)
            if play is not None:
                return play(x)
        return self._function(x)

    def _recorded(self, x: Any) -> _Play | None:
        if len(self._plays) == SHAPES:
            del self._plays[next(iter(self._plays))]  # the oldest
        try:
            play = _Play(self._function, x)
        except CannotRecordError:
            play = None
        self._plays[x.shape, x.dtype] = play
        return play


class _Play:
    """A call of a function of one array, recorded."""

    def __init__(self, function: Callable[[Any], Any], x: Any) -> None:
        recording = Recording()
        given = recording.input(x, copy=True)
        with recording.going():
            out = recording.output(function(given))
        self._out, self._place = recording.fixed(out), recording.fixed(given)
        self._calls = [(f, [*args]) for f, args in map(_quick, recording.calls)]
        self._direct = [(args, k) for _, args in self._calls for k, a in enumerate(args)
                        if _is_same(a, self._place)]
        """Where the argument itself is taken, no copy of it."""
        uses = sum(_uses(call, self._place.base) for call in recording.calls)
        self._copies = uses > len(self._direct)

    def __call__(self, x: Any) -> Any:
        if self._copies:
            self._place[...] = x
        for args, k in self._direct:
            args[k] = x
        for function, args in self._calls:
            function(*args)
        for args, k in self._direct:  # not to hold what may be large
            args[k] = self._place
        return self._out.copy()


class _Take:
    """A step that was recorded.

    Parameters
    ----------
    step : callable
        The function.
    carry, args
        What it is called with.
    same : list of bool
        Which of `args` stay the same objects.
    before : _Take, optional
        The step before, which gave `carry`.
    """

    def __init__(self, step: Callable[..., Any], carry: Any, args: tuple[Any, ...], same: list[bool],
                 before: _Take | None = None) -> None:
        self.recording: Recording = Recording(None if before is None else before.recording)
        recording = self.recording
        own = _mapped(lambda a: recording.input(a, copy=before is None), carry)
        given = [_mapped(lambda a, stays=stays: recording.input(a, copy=not stays), arg)  # type: ignore[misc]
                 for arg, stays in zip(args, same, strict=True)]
        with recording.going():
            after, out = step(own, *given)
            after = _mapped(recording.output, after)
            out = recording.output(out)
        self._held = own, given, after, out  # so that the next recording uses other memory
        self.given = _mapped(recording.fixed, own)
        self.carry = _mapped(recording.fixed, after)
        self._out = recording.fixed(out)
        self._stay = [(k, arg) for k, arg in enumerate(args) if same[k]]
        self._change = [(k, _mapped(recording.fixed, a)) for k, a in enumerate(given) if not same[k]]
        self._played = [_quick(call) for call in recording.calls]

    def takes_carry(self, carry: Any) -> bool:
        """Take a carry from elsewhere, if it is of the same shapes."""
        return _fill(self.given, carry)

    def takes(self, args: tuple[Any, ...]) -> bool:
        """Take the arguments, if they are of the same shapes, and what should be the same is."""
        return (all(args[k] is arg for k, arg in self._stay)
                and all(_fill(places, args[k]) for k, places in self._change))

    def play(self) -> Any:
        """Take the step that was recorded."""
        for function, args in self._played:
            function(*args)
        return self.carry, self._out.copy()

    def out(self) -> Any:
        """Give what the last step gave beside the carry."""
        return self._out.copy()

    def is_like(self, other: _Take) -> bool:
        """Tell whether both are made of the same calls."""
        a, b = self.recording, other.recording
        return _signature(a.calls) == _signature(b.calls) and len(a.constants) == len(b.constants) and all(
            x.tobytes() == y.tobytes() for x, y in zip(a.constants, b.constants, strict=True))

    def lead_back_to(self, other: _Take) -> None:
        """Leave what is carried where the other step takes it up."""
        places: dict[int, Any] = {}
        for end, start in _pairs(self.carry, other.given):
            places[id(end.base)] = start.base
            np.copyto(start, end)
        self.carry = other.given
        self._played = [_quick(moved(call, places)) for call in self.recording.calls]

    def forget(self) -> None:
        """Let go of the memory that only recording wanted."""
        del self.recording, self._held


def _quick(call: Call) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """Give a call as a function and positional arguments."""
    function, args, options = call
    if isinstance(function, np.ufunc):
        args = _as_arrays(args)
        if options.keys() == {"out"} and function not in (np.maximum, np.minimum):  # want its name
            out = options["out"]
            return function, (*args, *(out if isinstance(out, tuple) else (out,)))
    return functools.partial(function, **options) if options else function, args


def _as_arrays(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Give Python's numbers as arrays of the others' dtype, which they would take on anew each time."""
    dtypes = {a.dtype for a in args if isinstance(a, np.ndarray)}
    kind = next(iter(dtypes)).kind if len(dtypes) == 1 else ""
    fitting = {"f": (int, float), "i": (int,), "u": (int,)}.get(kind, ())
    try:
        return tuple(np.asarray(a, *dtypes) if type(a) in fitting else a for a in args)
    except OverflowError:
        return args


def _is_same(a: Any, place: Any) -> bool:
    return (isinstance(a, np.ndarray) and a.base is place.base and a.shape == place.shape
            and a.dtype == place.dtype)


def _uses(given: Any, memory: Any) -> int:
    """Count the arrays that lie in this memory."""
    if isinstance(given, dict):
        given = given.values()
    elif not isinstance(given, tuple | list):
        return int(isinstance(given, np.ndarray) and given.base is memory)
    return sum(_uses(a, memory) for a in given)


def _mapped(f: Callable[[Any], Any], tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {name: _mapped(f, a) for name, a in tree.items()}
    return None if tree is None else f(tree)


def _pairs(a: Any, b: Any) -> list[tuple[Any, Any]]:
    if isinstance(a, Mapping):
        return [pair for name in a for pair in _pairs(a[name], b[name])]
    return [] if a is None else [(a, b)]


def _fill(places: Any, values: Any) -> bool:
    """Copy arrays to their places, if they are like these."""
    if isinstance(places, np.ndarray):
        if getattr(values, "shape", None) != places.shape or values.dtype != places.dtype:
            return False
        places[...] = values
        return True
    if isinstance(places, dict):
        return isinstance(values, Mapping) and places.keys() == values.keys() and all(
            _fill(place, values[name]) for name, place in places.items())
    return values is None


def _signature(calls: list[Call]) -> list[Any]:
    def of(given: Any) -> Any:
        if isinstance(given, np.ndarray):
            return given.shape, given.dtype, given.strides
        if isinstance(given, tuple | list):
            return [of(a) for a in given]
        if isinstance(given, dict):
            return {name: of(a) for name, a in given.items()}
        return given if callable(given) else repr(given)

    return [(call.function, of(call.args), of(call.options)) for call in calls]
