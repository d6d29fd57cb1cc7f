"""Calling a function of NumPy or array-api-strict on arrays of the stand-in, as a GPU would compute it.

While the current stream captures, nothing is computed. The function is tried once, on whatever lies in its
inputs, to learn the shape and dtype of the results and which of them are views; the others get memory, full
of garbage, and what computes them there is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.cuda_on_cpu.capture import current, current_capture, submit
from benchmarks.cuda_on_cpu.errors import OutOfMemoryError
from benchmarks.cuda_on_cpu.memory import Memory, alloc

__all__ = ["Lower", "Wrap", "call", "check_device", "fill_with_garbage", "leaves", "mapped", "new_memory"]

Host = np.ndarray[Any, Any]
Lower = Callable[[Any], Any]
"""Gives what the function takes for an argument that is no sequence."""
Wrap = Callable[[Memory, Host], Any]
"""Makes an array of a block and what lies there."""


def call(
    f: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], *, name: str, lower: Lower,
    wrap: Wrap, keep_order: bool = False, writes: Sequence[Any] = (), kind: str = "KERNEL",
) -> Any:
    """Call `f(*args, **kwargs)` on the current stream.

    Parameters
    ----------
    f : callable
        Of arrays of NumPy or array-api-strict.
    args, kwargs : arguments
        With arrays of the stand-in, which `lower` makes ones that `f` takes.
    name, kind : str
        What to call it in a graph.
    lower, wrap : callable
        To and from what `f` takes and gives.
    keep_order : bool
        Whether results may lie as `f` gave them, column by column, as CuPy's copies do; what its kernels
        compute lies row by row.
    writes : arrays
        Those of the arguments that `f` writes to: then it gives nothing new.
    """
    arrays = [a for a in leaves([args, list(kwargs.values())]) if hasattr(a, "_array")]

    def lowered(change: Lower = lambda a: a) -> tuple[Any, dict[str, Any]]:
        def low(a: Any) -> Any:
            return lower(change(a))

        return mapped(low, tuple(args)), {key: mapped(low, a) for key, a in kwargs.items()}

    def compute(change: Lower = lambda a: a) -> Any:
        low_args, low_kwargs = lowered(change)
        try:
            with np.errstate(all="ignore"):
                return f(*low_args, **low_kwargs)
        except MemoryError as error:  # NumPy's
            raise OutOfMemoryError(getattr(error, "_total_size", 0), -1) from None

    if writes:
        check_device(arrays)
        if current_capture() is not None:
            compute(lambda a: wrap(a._memory, a._array.copy()) if any(a is w for w in writes) else a)
        replay = _replay(f, *lowered(), [])
        submit(kind, name, replay)
        return writes[0] if len(writes) == 1 else tuple(writes)

    if current_capture() is None:
        result = compute()
    else:
        try:
            result = compute()
        except IndexError:  # the garbage was indices
            result = compute(lambda a: _zeros_for_integers(a, wrap))
    places: list[tuple[int, Host]] = []

    def lifted(k: int, found: Any) -> Any:
        host = host_of(found)
        if host is None:
            return found
        for a in arrays:
            if host is a._array:
                return a
        for a in arrays:
            if np.may_share_memory(host, a._array):
                return wrap(a._memory, host)
        check_device(arrays)
        order = "F" if keep_order and host.flags.fnc else "C"
        memory, place = new_memory(host.shape, host.dtype, order)
        places.append((k, place))
        return wrap(memory, place)

    found = list(leaves(result))
    lifted_leaves = iter([lifted(k, leaf) for k, leaf in enumerate(found)])
    out = mapped(lambda _: next(lifted_leaves), result)
    if current_capture() is None:
        for k, place in places:
            place[...] = host_of(found[k])
    elif places:
        for _, place in places:
            fill_with_garbage(place)
        submit(kind, name, _replay(f, *lowered(), places))
    return out


def _replay(
    f: Callable[..., Any], args: Any, kwargs: dict[str, Any], places: list[tuple[int, Host]]
) -> Callable[[], None]:
    """Make a piece of work that holds memory, not the arrays there."""
    def replay() -> None:
        with np.errstate(all="ignore"):
            results = list(leaves(f(*args, **kwargs)))
        for k, place in places:
            place[...] = host_of(results[k])

    return replay


def leaves(tree: Any) -> Iterator[Any]:
    """Go through what nested tuples and lists hold."""
    if isinstance(tree, tuple | list):
        for a in tree:
            yield from leaves(a)
    else:
        yield tree


def mapped(f: Callable[[Any], Any], tree: Any) -> Any:
    """Make nested tuples and lists like these of `f` of what they hold."""
    if isinstance(tree, tuple | list):
        inner = [mapped(f, a) for a in tree]
        if isinstance(tree, list):
            return inner
        return type(tree)(*inner) if hasattr(tree, "_fields") else tuple(inner)
    return f(tree)


def host_of(a: Any) -> Host | None:
    """Give the NumPy array that a result of NumPy or array-api-strict is, or is made of, if it is one."""
    a = getattr(a, "_array", a)
    if isinstance(a, np.generic):  # CuPy has none: its results are arrays without axes
        return np.asarray(a)
    return a if isinstance(a, np.ndarray) else None


def new_memory(shape: tuple[int, ...], dtype: Any, order: str = "C") -> tuple[Memory, Host]:
    """Allocate memory for an array, and give it as a NumPy array, too."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    memory = alloc(size).mem
    return memory, np.ndarray(shape, dtype, memory.block, order="F" if order == "F" else "C")


def fill_with_garbage(place: Host) -> None:
    """Fill with what shows up wherever it is computed with."""
    kind = place.dtype.kind
    place[...] = np.nan if kind in "fc" else True if kind == "b" else np.iinfo(place.dtype).max // 3


def _zeros_for_integers(a: Any, wrap: Wrap) -> Any:
    if hasattr(a, "_array") and a.dtype.kind in "iu":
        return wrap(a._memory, np.zeros_like(a._array))
    return a


def check_device(arrays: list[Any]) -> None:
    """Refuse to compute with what lies on another device than the current one."""
    for a in arrays:
        if a._memory.device_id != current.device:
            raise ValueError(
                f"The device where the array resides ({a._memory.device_id}) is different from the "
                f"current device ({current.device}). Peer access is unavailable between these devices."
            )
