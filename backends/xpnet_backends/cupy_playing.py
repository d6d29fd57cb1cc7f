"""Functions and steps of training on CuPy: captured as CUDA graphs, each of which is then launched at one go."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import cupy

from xpnet_backends.cupy_arguments import arrays, copy_to, fits, is_array, place_for, signature
from xpnet_backends.cupy_places import leading_to
from xpnet_backends.cupy_results import Kept, Room
from xpnet_backends.cupy_together import synchronize, taking_part
from xpnet_backends.nested import mapped

__all__ = ["PlayedFunction"]

SHAPES = 8
"""For how many sets of shapes of its arguments a function is captured."""

_copy_kernel = cupy.ElementwiseKernel("T x", "T y", "y = x", "xpnet_copy")
"""A graph has two nodes for a copy that is no kernel."""


class PlayedFunction:
    """A pure function that is called again and again.

    The second call with arguments of the same shapes is captured as a CUDA graph, which is launched from
    then on; the function is called no more. What cannot be captured, as it looks at values or brings some
    from the host, goes on being called.

    Parameters
    ----------
    function : callable
        The function, of arrays in nested dictionaries, tuples and lists, which it may also give.
    device : cupy.cuda.Device
        Where it computes.
    carries : bool
        Whether it is a step `(carry, *args) -> (carry, …)`, which is given the carry that it gave before.
        There are two places for it, and two graphs, from each to the other: so nothing is copied, and what
        a step was given is whole until it is done.

    Attributes
    ----------
    refused : str
        Why it goes on being called for arguments of some shapes, if so.
    """

    def __init__(self, function: Callable[..., Any], device: Any, carries: bool = False) -> None:
        self._function, self._device, self._carries = function, device, carries
        self._seen: dict[Any, list[weakref.ref[Any]] | _Program | str] = {}
        self._last: _Program | None = None
        self._others: list[Any] = []  # who takes part in it, as sums over processes
        self._lock = threading.Lock()  # two threads would write to the same places
        self.refused = ""

    @property
    def graphs(self) -> list[Any]:
        """What was captured, as `cupy.cuda.Graph`."""
        return [graph for program in self._seen.values() if isinstance(program, _Program)
                for graph, _ in program.graphs]

    def __call__(self, *args: Any) -> Any:
        """Compute the function."""
        with self._device:
            with self._lock:
                program = self._last
                given = None if program is None else program.reads(args)
                if given is None:
                    program = self._looked_up(args)
                    given = None if program is None else program.reads(args)
                if program is not None and given is not None:
                    self._last = program
                    return program.play(args, given)
            with taking_part() as self._others:
                return self._function(*args)

    def _looked_up(self, args: tuple[Any, ...]) -> _Program | None:
        """Find what was captured for such arguments, or capture it, if it is time to."""
        key = signature(args)
        try:
            known = self._seen.pop(key, None)
        except TypeError:  # what cannot be compared
            return None
        if len(self._seen) == SHAPES:
            del self._seen[next(iter(self._seen))]  # the one that was not asked for the longest
        self._seen[key] = [*map(weakref.ref, arrays(args))] if known is None else known
        if isinstance(known, _Program) and known.reads(args) is not None:
            return known
        if known is None or isinstance(known, str):
            return None
        before, stay = (known.given, known.stay) if isinstance(known, _Program) else (
            known, [True] * len(known))
        stay = [s and a is b() for s, a, b in zip(stay, arrays(args), before, strict=True)]
        self._seen[key] = program = self._captured(args, stay)
        return program if isinstance(program, _Program) else None

    def _captured(self, args: tuple[Any, ...], stay: list[bool]) -> _Program | str:
        """Capture calls with such arguments; give why not, if not.

        Of functions that add up over processes, all processes capture one, or none.
        """
        program, reason = None, ""
        try:
            program = _Program(self._function, args, stay, self._carries)
            program.capture(self._function)
        except Exception as error:
            if self._others and program is None:
                raise  # a call that others will have done
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        agreed = [other.agree(not reason) for other in self._others]  # each of them is asked
        if not all(agreed):
            reason = reason or "another process cannot capture it"
        if program is not None and not reason:
            for other in self._others:
                other.captured_in(program)
            return program
        self._function(*args)  # if the call itself is wrong, it will say so
        self.refused = reason
        return reason


class _Program:
    """A function, captured for arguments like these.

    Parameters
    ----------
    function, carries
        See `PlayedFunction`.
    args : tuple
        The arguments.
    stay : list of bool
        For each array in them, whether it is the same at each call, and read where it lies. For the others
        there are places, to which they are copied. So it is with all that is carried.
    """

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], stay: list[bool],
                 carries: bool) -> None:
        self.given, self.stay = [*map(weakref.ref, arrays(args))], stay
        rest = args[carries:]
        synchronize(cupy.cuda.get_current_stream())  # what is given is there, for another stream too
        cupy.get_default_memory_pool().free_all_blocks()  # of the call before: a graph has its own memory
        self._pool = cupy.cuda.MemoryPool()
        self._rooms: dict[int, Room] = {}
        self.graphs: list[tuple[Any, Any]] = []
        self._stream = cupy.cuda.Stream(non_blocking=True)
        with cupy.cuda.using_allocator(self._pool.malloc), self._stream:
            kept = iter(stay[len(arrays(args[:carries])):])
            self._rest = mapped(lambda a: a if is_array(a) and next(kept) else place_for(a), rest)
            self._copied = [place for place, a in zip(arrays(self._rest), arrays(rest), strict=True)
                            if place is not a]
            self.places = [mapped(place_for, args[0]) for _ in range(2)] if carries else []
            for place, a in zip(arrays((self._rest, self.places[:1])), arrays((rest, args[:carries])), strict=True):
                copy_to(place, a)
            self._call(function, 0)  # kernels are compiled, and the pool grows as large as it has to be
            synchronize(self._stream)

    def capture(self, function: Callable[..., Any]) -> None:
        """Capture the function that was called."""
        with cupy.cuda.using_allocator(self._pool.malloc), self._stream:
            self.graphs = [self._captured(function, k) for k in range(len(self.places) or 1)]

    def drop(self) -> None:
        """End the graphs, which are not to be launched any more."""
        self.graphs.clear()

    def reads(self, args: tuple[Any, ...]) -> list[Any] | None:
        """Give the arrays that have to be copied to their places; None if this is not what to play."""
        found: list[Any] = []
        if not self.places:
            return found if fits(args, self._rest, self._copied, found) else None
        if not fits(args[1:], self._rest, self._copied, found):
            return None
        carry = args[0]
        known = carry is self.places[0] or carry is self.places[1]
        return found if known or signature(carry) == signature(self.places[0]) else None

    def play(self, args: tuple[Any, ...], given: list[Any]) -> Any:
        """Compute the function.

        The carry that it gives lasts until the call after the next, if that is given this one.
        """
        for place, a in zip(self._copied, given, strict=True):
            copy_to(place, a)
        if not self.places:
            return mapped(Kept.copy, self._launched(0))
        carry = args[0]
        k = 1 if carry is self.places[1] else 0
        if carry is not self.places[k]:
            places = arrays(self.places[k])
            for place, a in zip(places, _aside(arrays(carry), places), strict=True):
                copy_to(place, a)
        return self.places[1 - k], *mapped(Kept.copy, self._launched(k))

    def _launched(self, k: int) -> Any:
        """Launch a graph, which no name holds: that of a traceback would keep `drop` from ending it."""
        self.graphs[k][0].launch()
        return self.graphs[k][1]

    def _captured(self, function: Callable[..., Any], k: int) -> tuple[Any, Any]:
        """Capture a call; give the graph, and what it gives besides what it carries."""
        self._stream.begin_capture()
        try:
            results = self._call(function, k)
        except BaseException:
            with suppress(Exception):  # the graph is not whole
                self._stream.end_capture()
            raise
        graph, numbers = self._stream.end_capture(), itertools.count()
        # Both graphs give a result in the same room: they take turns.
        return graph, mapped(lambda a: Kept(a, self._rooms.setdefault(next(numbers), Room())), results)

    def _call(self, function: Callable[..., Any], k: int) -> Any:
        """Call the function with what it carries in the k-th place, and lead that to the other place."""
        if not self.places:
            return function(*self._rest)
        given, places = self.places[k], arrays(self.places[1 - k])
        with leading_to(arrays(given), places):
            carry, *results = function(given, *self._rest)
        if signature(carry) != signature(given):
            raise ValueError("what is carried has another form after the call")
        for place, a in zip(places, _aside(arrays(carry), places), strict=True):
            if place is not a:
                _copy_kernel(a, place)
        return tuple(results)


def _aside(given: list[Any], places: list[Any]) -> list[Any]:
    """Give arrays that are to be copied to places; copies of those that lie where another one is copied to."""
    taken = {id(place.data.mem) for place in places}
    return [place if (a.data.ptr, a.strides) == (place.data.ptr, place.strides)
            else a.copy() if id(a.data.mem) in taken else a for a, place in zip(given, places, strict=True)]
