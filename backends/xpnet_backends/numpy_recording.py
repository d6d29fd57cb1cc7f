"""What a function computes on NumPy, written down call by call, to be played again without the function.

`Recorded` arrays are computed with as ever, and each call that makes one of others is written down. Each
lies in memory of the recording's own, and is written there again when the calls are played: views need
nothing to be done, and nothing is allocated. Memory whose array nobody holds any more is used again by the
next array of its size, as `malloc` would do.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import numpy as np

__all__ = ["Call", "CannotRecordError", "Recorded", "Recording", "in_place", "moved", "recordable"]

Function = TypeVar("Function", bound=Callable[..., Any])

_THROUGH = {np.sum, np.prod, np.max, np.min, np.all, np.any, np.mean, np.std, np.var}
"""Functions of NumPy that are made of calls which are recorded themselves."""
_WITH_OUT = {np.concatenate, np.stack}
"""Functions that write where `out` says."""

_current: Recording | None = None


class CannotRecordError(TypeError):
    """What is computed depends on the values, or cannot be followed."""


class Call(NamedTuple):
    """A call on plain arrays, in memory that stays where it is."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    options: Mapping[str, Any]


class Recorded(np.ndarray[Any, Any]):
    """An array of which is written down what is computed with it."""

    def __array_ufunc__(
        self, ufunc: Any, method: str, *args: Any, out: Any = None, **options: Any
    ) -> Any:
        recording, function = _now(), ufunc if method == "__call__" else getattr(ufunc, method)
        if method not in ("__call__", "reduce"):
            raise CannotRecordError(f"{ufunc.__name__}.{method}")
        if out is None:
            return recording.result(function, args, options, takes_out=True)
        recording.do(function, args, {**options, "out": out})
        return out[0]

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if function in _THROUGH:
            return super().__array_function__(function, types, args, options)
        recording = _now()
        if function is np.empty_like and len(args) == 1 and not options:
            return recording.empty_like(np.empty_like(_plain(args[0])))
        takes_out = function in _WITH_OUT
        if function is np.take and recording.is_input(args[1]):  # row numbers, which lie within
            options = {**options, "mode": "clip"}
        takes_out |= function is np.take and options.get("mode") == "clip"
        return recording.result(function, args, options, takes_out=takes_out)

    def __getitem__(self, key: Any) -> Any:
        keys = key if isinstance(key, tuple) else (key,)
        if not all(k is None or k is ... or isinstance(k, int | np.integer | slice) for k in keys):
            return _now().result(np.ndarray.__getitem__, [self, key], {})
        found = super().__getitem__(key)
        return found if isinstance(found, np.ndarray) else super().__getitem__((*keys, ...))

    def __setitem__(self, key: Any, value: Any) -> None:
        _now().do(np.copyto, [self[key], value], {"casting": "unsafe"})

    def astype(  # type: ignore[override]
        self, dtype: Any, *args: Any, copy: bool = True, **options: Any
    ) -> Any:
        """Give a copy of another dtype."""
        if not copy and self.dtype == dtype:
            return self
        target = _now().empty(self.shape, dtype)
        target[...] = self
        return target

    def copy(self, *args: Any, **options: Any) -> Any:
        """Give a copy."""
        return self.astype(self.dtype)


def _refused(name: str) -> Callable[..., Any]:
    def method(*args: Any, **options: Any) -> Any:
        raise CannotRecordError(name)

    return method


for _name in (
    "__bool__", "__complex__", "__float__", "__index__", "__int__", "argmax", "argmin", "argpartition",
    "argsort", "byteswap", "choose", "clip", "compress", "conj", "cumprod", "cumsum", "dot", "dump", "dumps",
    "fill", "flatten", "item", "nonzero", "partition", "put", "ravel", "repeat", "resize", "round",
    "searchsorted", "sort", "take", "tobytes", "tofile", "tolist", "trace",
):
    setattr(Recorded, _name, _refused(_name))


class _Memory:
    """A piece of memory for as long as anybody holds an array that lies in it; then it is free again."""

    def __init__(self, whole: Any, free: list[Any]) -> None:
        self.whole, self._free = whole, free
        self.__array_interface__ = whole.__array_interface__  # for numpy.asarray
        self.start: int = self.__array_interface__["data"][0]

    def __del__(self) -> None:
        self._free.append(self.whole)


class Recording:
    """Calls on memory that stays where it is.

    Parameters
    ----------
    before : Recording, optional
        One whose memory is used as well, as far as nobody holds it.

    Attributes
    ----------
    calls : list of Call
        What was computed, in order.
    constants : list of numpy.ndarray
        What the calls were given that is neither an input nor computed.
    """

    def __init__(self, before: Recording | None = None) -> None:
        self.calls: list[Call] = []
        self.constants: list[Any] = []
        self._free: dict[int, list[Any]] = {} if before is None else before._free
        self._inputs: list[Any] = []

    @contextmanager
    def going(self) -> Iterator[None]:
        """Write down what is computed with `Recorded` arrays."""
        global _current
        before, _current = _current, self
        try:
            yield
        finally:
            _current = before

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Recorded:
        """Give an array."""
        dtype, count = np.dtype(dtype), math.prod(shape)
        free = self._free.setdefault(max(1, count * dtype.itemsize), [])
        whole = free.pop() if free else np.empty(max(1, count * dtype.itemsize), np.uint8)
        return np.asarray(_Memory(whole, free))[:count * dtype.itemsize].view(dtype).reshape(shape).view(Recorded)

    def empty_like(self, a: Any) -> Recorded:
        """Give an array whose axes follow in memory as those of `a` do: BLAS may sum otherwise else."""
        order = sorted(range(a.ndim), key=lambda axis: -abs(a.strides[axis]))
        empty = self.empty(tuple(a.shape[axis] for axis in order), a.dtype)
        return empty.transpose(np.argsort(order)) if a.ndim > 1 else empty

    def input(self, a: Any, copy: bool) -> Recorded:
        """Give an array whose values change from time to time: a copy, or it itself, where it lies."""
        if copy:
            own = self.empty(a.shape, a.dtype)
            np.copyto(_plain(own), _plain(a))
        else:
            own = a.view(Recorded)
        self._inputs.append(_owner(own))
        return own

    def is_input(self, a: Any) -> bool:
        """Tell whether this is an input or a view of one."""
        owner = _owner(a) if isinstance(a, np.ndarray) else None
        return any(owner is known for known in self._inputs)

    def do(self, function: Callable[..., Any], args: Sequence[Any], options: Mapping[str, Any]) -> Any:
        """Call a function that writes into arrays, and write that down."""
        self.calls.append(Call(function, self._fixed(tuple(args)), self._fixed(options)))
        return function(*_plain(tuple(args)), **_plain(options))

    def result(
        self, function: Callable[..., Any], args: Sequence[Any], options: Mapping[str, Any], *,
        takes_out: bool = False,
    ) -> Any:
        """Call a function that makes an array, and write down to make it there again."""
        found = function(*_plain(tuple(args)), **_plain(options))
        if found is None:
            self.calls.append(Call(function, self._fixed(tuple(args)), self._fixed(options)))
            return None
        if not isinstance(found, np.ndarray | np.generic) or (
            isinstance(found, np.ndarray) and self._is_known(_owner(found))
        ):
            return self._views(found)
        out = self._kept(found)
        fixed, options = self._fixed(tuple(args)), self._fixed(options)
        self.calls.append(
            Call(function, fixed, {**options, "out": self._fixed(out)}) if takes_out
            else Call(_assign, (self._fixed(out), function, fixed, options), {})
        )
        return out

    def kernel(self, kernel: Callable[..., Any], args: Any, options: Mapping[str, Any]) -> Any:
        """Call a kernel, whose `out` says where to write its results; give these."""
        found = kernel(*_plain(args), **_plain(options))
        out = (tuple(None if a is None else self._kept(a) for a in found) if isinstance(found, tuple)
               else self._kept(found))
        self.calls.append(Call(kernel, self._fixed(args), {**self._fixed(options), "out": self._fixed(out)}))
        return out

    def output(self, a: Any) -> Recorded:
        """Give an array that no other input or output shares memory with: itself, or a copy."""
        owner = _owner(a)
        if isinstance(owner, _Memory) and a.nbytes == owner.whole.nbytes and not self.is_input(a):
            self._inputs.append(owner)  # taken
            return a.view(Recorded)
        out = self._kept(_plain(a))
        self.do(np.copyto, [out, a], {})
        self._inputs.append(_owner(out))
        return out

    def fixed(self, a: Recorded) -> Any:
        """Give a plain array in the same memory, which does not hold it."""
        return self._fixed(a)

    def _kept(self, found: Any) -> Recorded:
        out = self.empty_like(found)
        np.copyto(_plain(out), found)
        return out

    def _views(self, found: Any) -> Any:
        """Give views of known arrays, and what is no array, as a shape or a dtype."""
        if isinstance(found, tuple | list):
            return type(found)(map(self._views, found))
        if not isinstance(found, np.ndarray):
            return found
        if not self._is_known(_owner(found)):
            raise CannotRecordError("several new arrays at once")
        return found.view(Recorded)

    def _is_known(self, owner: Any) -> bool:
        return isinstance(owner, _Memory) or any(owner is known for known in self._inputs)

    def _fixed(self, given: Any) -> Any:
        if isinstance(given, dict):
            return {name: self._fixed(a) for name, a in given.items()}
        if isinstance(given, tuple | list):
            return type(given)(self._fixed(a) for a in given)
        if not isinstance(given, np.ndarray):
            return given
        owner = _owner(given)
        if isinstance(owner, _Memory):
            return _at(owner.whole, owner.start, given)
        if not self._is_known(owner):
            if isinstance(given, Recorded):
                raise CannotRecordError("an array that was computed unseen")
            self.constants.append(given)
        return _plain(given)


def recordable(kernel: Function) -> Function:
    """Make a kernel, which takes `out`, be written down as one call."""

    @functools.wraps(kernel)
    def call(*args: Any, **options: Any) -> Any:
        if _current is None or not any(isinstance(a, Recorded) for a in args):
            return kernel(*args, **options)
        return _current.kernel(kernel, args, options)

    return call  # type: ignore[return-value]


def in_place(function: Function) -> Function:
    """Make a function, which writes into some of its arguments, be written down as one call."""

    @functools.wraps(function)
    def call(*args: Any) -> None:
        if _current is None or not any(isinstance(a, Recorded) for a in args):
            function(*args)
        else:
            _current.do(function, args, {})

    return call  # type: ignore[return-value]


def moved(call: Call, places: Mapping[int, Any]) -> Call:
    """Give a call whose arrays lie elsewhere: by the id of the memory, the new one."""
    def move(given: Any) -> Any:
        if isinstance(given, dict):
            return {name: move(a) for name, a in given.items()}
        if isinstance(given, tuple | list):
            return type(given)(move(a) for a in given)
        if not isinstance(given, np.ndarray) or id(given.base) not in places:
            return given
        whole = places[id(given.base)]
        return _at(whole, _address(given.base), given)

    return Call(call.function, move(call.args), move(call.options))


def _now() -> Recording:
    if _current is None:
        raise CannotRecordError("an array of a recording that is over")
    return _current


def _assign(out: Any, function: Callable[..., Any], args: Any, options: Any) -> None:
    out[...] = function(*args, **options)


def _plain(given: Any) -> Any:
    """Give the same arrays as NumPy's own class."""
    if isinstance(given, Recorded):
        return given.view(np.ndarray)
    if isinstance(given, tuple | list):
        return type(given)(_plain(a) for a in given)
    return {name: _plain(a) for name, a in given.items()} if isinstance(given, dict) else given


def _owner(a: Any) -> Any:
    """Find who owns an array's memory."""
    while isinstance(a.base, np.ndarray):
        a = a.base
    return a.base if isinstance(a.base, _Memory) else a


def _at(whole: Any, start: int, a: Any) -> Any:
    """Give a plain array that lies in this memory as `a` does in that which begins at an address."""
    return np.ndarray(a.shape, a.dtype, whole, _address(a) - start, a.strides)


def _address(a: Any) -> int:
    return int(a.__array_interface__["data"][0])
