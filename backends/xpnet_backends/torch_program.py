"""Recorded calls as the source of a Python function."""

from __future__ import annotations

import itertools
import math
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from xpnet_backends.nested import leaves
from xpnet_backends.torch_recording import Call, Recording, Var, variables

__all__ = ["Program", "are_same", "signature"]


class Program:
    """A function of the arguments that a recorded one was called with, and of others like these.

    Parameters
    ----------
    recording : Recording
        What it computed.
    args : tuple
        Its arguments: nested dictionaries, tuples and lists of tensors.
    result : nested dictionaries, tuples and lists of Var
        What it returned.

    Attributes
    ----------
    play : callable
        The function.
    fits : callable
        `(known, *args)`: whether arguments are like those recorded; if `known`, the first is.
    carries : bool
        Whether the first of what it returns is like its first argument.
    """

    carries = False

    def __init__(self, recording: Recording, args: tuple[Any, ...], result: Any) -> None:
        self._constants = recording.constants
        self._kept: dict[str, Any] = {"like": _is_like}
        calls, result = without_repetitions(rows_taken(recording), recording.groups, result)
        calls = needed(calls, result)
        names = [f"a{k}" for k in range(len(args))]
        used = {*variables([call[1:3] for call in calls]), *variables(result)}
        body = [*self._read(args, names, used),
                *(line for call, dead in zip(calls, dead_after(calls, result), strict=True)
                  for line in self._lines(call, dead)),
                f"return {self._text(result, '.clone()')}"]
        first, *others = (" and ".join(self._tests(a, name)) or "True"
                          for a, name in zip(args, names, strict=True))
        given = ", ".join(names)
        source = "\n".join([
            f"def made({', '.join(self._kept)}):",
            f"    def play({given}):", *(f"        {line}" for line in body),
            f"    def fits(known, {given}):",
            f"        return (known or {first}) and {' and '.join(others) or True}",
            "    return play, fits",
        ])
        scope: dict[str, Any] = {}
        exec(compile(source, "<recorded calls>", "exec"), scope)  # noqa: S102, its text is all from here
        self.source = source
        self.play, self.fits = scope["made"](*self._kept.values())

    def _name(self, a: Any) -> str:
        """Give an expression for a constant."""
        if a is None or type(a) in (bool, int, str) or (type(a) is float and math.isfinite(a)):
            return repr(a)
        found = next((key for key, b in self._kept.items() if b is a), f"k{len(self._kept)}")
        self._kept[found] = a
        return found

    def _text(self, given: Any, constants: str = "") -> str:
        """Give an expression, with something behind what is constant: for others, a copy."""
        if isinstance(given, Var):
            n = given.number
            return self._name(self._constants[n]) + constants if n in self._constants else f"v{n}"
        if isinstance(given, tuple):
            return "(" + "".join(self._text(a, constants) + ", " for a in given) + ")"
        if isinstance(given, list):
            return "[" + ", ".join(self._text(a, constants) for a in given) + "]"
        if isinstance(given, dict):
            inner = (f"{key!r}: {self._text(a, constants)}" for key, a in given.items())
            return "{" + ", ".join(inner) + "}"
        return self._name(given)

    def _read(self, args: tuple[Any, ...], names: list[str], used: set[int]) -> Iterator[str]:
        """Write how to take the tensors out of their dictionaries."""
        numbers, inner = itertools.count(), itertools.count()

        def read(tree: Any, place: str) -> Iterator[str]:
            if isinstance(tree, Mapping | tuple | list):
                own = f"d{next(inner)}"
                yield f"{own} = {place}"
                for key, a in tree.items() if isinstance(tree, Mapping) else enumerate(tree):
                    yield from read(a, f"{own}[{key!r}]")
            elif isinstance(tree, torch.Tensor) and (n := next(numbers)) in used:
                yield f"v{n} = {place}"

        for tree, name in zip(args, names, strict=True):
            yield from read(tree, name)

    def _tests(self, tree: Any, place: str) -> Iterator[str]:
        """Write how to see that an argument is like this: often it is the same."""
        if isinstance(tree, Mapping | tuple | list):
            yield f"len({place}) == {len(tree)}"
            for key, a in tree.items() if isinstance(tree, Mapping) else enumerate(tree):
                yield from self._tests(a, f"{place}[{key!r}]")
        elif isinstance(tree, torch.Tensor):
            same, like = self._name(weakref.ref(tree)), self._name(look(tree))
            yield f"({same}() is {place} or like({place}, {like}))"
        else:
            yield f"{place} is {self._name(tree)}"

    def _target(self, result: Any) -> str:
        if isinstance(result, Var):
            return "_" if result.number in self._constants else f"v{result.number}"
        return "_" if result is None else f"[{', '.join(map(self._target, result))}]"

    def _lines(self, call: Call, dead: set[int]) -> Iterator[str]:
        """Write a call, and let go what nobody needs any more."""
        given = [*map(self._text, call.args), *(f"{k}={self._text(a)}" for k, a in call.options.items())]
        out = self._target(call.result)
        yield f"{out} = {self._name(call.function)}({', '.join(given)})"
        gone = [f"v{n}" for n in sorted(dead) if n not in self._constants]
        if gone:
            yield " = ".join([*gone, "None"])


def signature(tree: Any) -> tuple[Any, ...]:
    """Give what must be the same for the same calls to be made."""
    return tuple((place, look(a) if isinstance(a, torch.Tensor) else (type(a), a))
                 for place, a in leaves(tree))


def are_same(one: Recording, other: Recording) -> bool:
    """Tell whether two recordings are of the same calls, on the same constants."""
    return (
        [_key(tuple(call)) for call in one.calls] == [_key(tuple(call)) for call in other.calls]
        and one.groups == other.groups and one.constants.keys() == other.constants.keys()
        and all(_are_equal(a, other.constants[n]) for n, a in one.constants.items())
    )


def look(a: Any) -> tuple[Any, ...]:
    return type(a), a.dtype, a.shape, a.stride(), a.device, a.requires_grad


def _is_like(a: Any, like: tuple[Any, ...]) -> bool:
    return type(a) is like[0] and look(a) == like


def _are_equal(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if look(a) != look(b) or a.is_meta or a.layout is not torch.strided:
        return False
    return bool(torch.all((a == b) | (torch.isnan(a) & torch.isnan(b))))


def _key(given: Any) -> Any:
    """Give something that can be compared, and is the same for NaN."""
    if isinstance(given, Var):
        return "variable", given.number
    if isinstance(given, tuple | list):
        return type(given), *map(_key, given)
    if isinstance(given, dict):
        return dict, *((name, _key(a)) for name, a in given.items())
    if given is None or isinstance(given, bool | int | float | complex | str | slice | torch.dtype | torch.device):
        return type(given), repr(given)
    return given if callable(given) else ("object", id(given))


def rows_taken(recording: Recording) -> list[Call]:
    """Take rows by the numbers that are given, which count from the front, as they are.

    array-api-compat lets them count from the end, too: `where(rows < 0, rows + N, rows)`. Here those
    that do are an error.
    """
    made = {call.result: call for call in recording.calls if isinstance(call.result, Var)}

    def rows(n: Any) -> Any:
        where = made.get(n)
        if where is None or where.function is not torch.where or len(where.args) != 3:
            return n
        negative, own = made.get(where.args[0]), where.args[2]
        is_given = isinstance(own, Var) and recording.groups[own.number] < recording.given
        same = negative is not None and negative.args == (own, 0) and (
            negative.function in (torch.Tensor.__lt__, torch.Tensor.lt, torch.lt))
        return own if is_given and same else n

    return [call._replace(args=(*call.args[:2], rows(call.args[2])))
            if call.function is torch.index_select and len(call.args) == 3 else call
            for call in recording.calls]


def without_repetitions(
    recorded: list[Call], groups: list[int], result: Any
) -> tuple[list[Call], Any]:
    """Leave out calls that give what is known already, and that nobody writes into."""
    written = {groups[n] for call in recorded if not call.pure
               for n in variables((call.args, call.options, call.result))}
    handed_out = {groups[n] for n in variables(result)}
    calls: list[Call] = []
    known: dict[Any, Var] = {}
    instead: dict[int, Var] = {}

    def replaced(given: Any) -> Any:
        if isinstance(given, Var):
            return instead.get(given.number, given)
        if isinstance(given, tuple | list):
            return type(given)(map(replaced, given))
        return {key: replaced(a) for key, a in given.items()} if isinstance(given, dict) else given

    for call in recorded:
        call = call._replace(args=replaced(call.args), options=replaced(call.options))
        used = {groups[n] for n in variables((call.args, call.options))}
        if call.pure and isinstance(call.result, Var) and not (used & written):
            key = _key((call.function, call.args, call.options))
            if groups[call.result.number] not in written | handed_out and key in known:
                instead[call.result.number] = known[key]
                continue
            if groups[call.result.number] not in written | handed_out:
                known[key] = call.result
        calls.append(call)
    return calls, replaced(result)


def needed(calls: list[Call], result: Any) -> list[Call]:
    """Leave out calls whose results nobody takes."""
    taken = set(variables(result))
    needed = []
    for call in reversed(calls):
        if not call.pure or not taken.isdisjoint(variables(call.result)):
            needed.append(call)
            taken.update(variables((call.args, call.options)))
    return needed[::-1]


def dead_after(calls: list[Call], result: Any) -> list[set[int]]:
    """Give the variables that are taken for the last time by each call, or by none."""
    seen = set(variables(result))
    dead = []
    for call in reversed(calls):
        here = set(variables((call.args, call.options, call.result)))
        dead.append(here - seen)
        seen |= here
    return dead[::-1]
