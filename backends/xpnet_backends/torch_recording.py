"""What a function computes on PyTorch, written down call by call."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch.overrides import TorchFunctionMode

__all__ = ["PURE", "Call", "Recording", "Var", "variables"]


def _functions(names: str) -> set[Any]:
    """Find functions by name, also among a tensor's methods."""
    return {getattr(place, name) for name in names.split() for place in (torch, torch.Tensor)
            if hasattr(place, name)}


def _properties(names: str) -> set[Any]:
    return {getattr(torch.Tensor, name).__get__ for name in names.split()}


_LOOKS = _properties("shape dtype device ndim requires_grad is_leaf layout itemsize nbytes") | _functions(
    "size dim stride numel nelement element_size is_contiguous is_floating_point is_complex is_signed "
    "get_device __len__ result_type can_cast promote_types broadcast_shapes")
"""What tells of shapes and dtypes, which are always the same, and not of values."""
_FACTORIES = _functions("arange asarray eye linspace")
PURE = _FACTORIES | _properties("mT T") | _functions(
    "abs add addcdiv addcmul addmm amax amin bitwise_and bitwise_or bitwise_xor bitwise_left_shift "
    "bitwise_right_shift broadcast_to cat clamp concat contiguous conv2d cos div eq exp expand expm1 flatten gather ge gt "
    "index_select le lerp log log1p log_softmax logical_and logical_not logical_or lt matmul maximum mean "
    "minimum mm mul ne neg permute pow reciprocal relu reshape rsqrt sigmoid sin softmax sqrt square "
    "squeeze stack sub sum take tanh to transpose unsqueeze where __and__ __eq__ __ge__ __getitem__ __gt__ "
    "__le__ __lshift__ __lt__ __ne__ __or__ __rshift__ __rsub__ __xor__ t")
"""Functions that give the same of the same, and write nowhere unless their name or `out` says so."""
_VALUES = _functions(
    "argwhere bincount equal histc is_nonzero masked_select nonzero repeat_interleave unique unique_consecutive "
    "unique_dim")
"""Functions whose results' shapes depend on values."""


class Var(NamedTuple):
    """A tensor, by its number."""

    number: int


class Call(NamedTuple):
    """A call with variables in the place of tensors, and what it gives: one, or a tuple with them."""

    function: Callable[..., Any]
    args: Any
    options: Any
    result: Any = None
    pure: bool = True


class Recording(TorchFunctionMode):  # type: ignore[misc]
    """Calls made within `with`, on tensors that are known by their numbers.

    Tensors are not held, so that no more memory is used than without a recording, but those that come
    from nowhere, or are computed of such alone: `constants`.

    Parameters
    ----------
    inputs : list of torch.Tensor
        What has the first numbers.

    Attributes
    ----------
    calls : list of Call
        What was computed, in order.
    constants : dict
        By their numbers.
    groups : list of int
        For each number the first of those that share its memory.
    refused : str
        Why the calls cannot be played again, if so.
    """

    def __init__(self, inputs: list[Any]) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.constants: dict[int, Any] = {}
        self.groups: list[int] = []
        self.refused = ""
        self._numbers: dict[int, tuple[weakref.ref[Any], int]] = {}
        self._places: list[Any] = []
        self.given = len(inputs)
        for a in inputs:
            self._new(a)
        if len(self._numbers) != len(inputs):
            self.refused = "a tensor that is given twice"

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = kwargs or {}
        if function in _LOOKS or self.refused:
            return function(*args, **options)
        given = list(_tensors((args, options)))
        if function in _VALUES or any(a.is_inference() for a in given) or (
                function is torch.Tensor.__getitem__ and _is_mask(args[1])):
            self.refused = f"{function}: a shape may depend on values"
            return function(*args, **options)
        call = Call(function, self._of(args), self._of(options))
        before = [a._version for a in given]
        found = function(*args, **options)
        written = [self.groups[self.variable(a).number]
                   for a, version in zip(given, before, strict=True) if a._version != version]
        self._write_down(call._replace(pure=function in PURE and not written), found, written)
        return found

    def variable(self, a: Any) -> Var:
        """Give the variable of a tensor; of one from nowhere, a constant's."""
        if not self._knows(a):
            self.constants[self._new(a)] = a
        return Var(self._numbers[id(a)][1])

    def _write_down(self, call: Call, found: Any, written: list[int]) -> None:
        used = list(variables((call.args, call.options)))
        fixed = {self.groups[n] for n in (*range(self.given), *self.constants)}
        if not fixed.isdisjoint(written):
            self.refused = f"{call.function} writes into what it is given"
        elif isinstance(found, torch.Tensor):
            if call.pure and (self._knows(found) or self._is_known_as_another(found, used)):
                return  # nothing was to be done
            if call.pure and all(n in self.constants for n in used) and (
                    used or call.function in _FACTORIES):
                self.variable(found)
            else:
                self.calls.append(call._replace(result=self._result(found, used)))
        elif found is None and call.function is torch.Tensor.__setitem__:
            self.calls.append(call)
        elif isinstance(found, tuple | list) and all(
            a is None or isinstance(a, torch.Tensor) for a in found
        ):
            result = tuple(None if a is None else self._result(a, used) for a in found)
            self.calls.append(call._replace(result=result))
        else:
            self.refused = f"{call.function} looks at values"

    def _knows(self, a: Any) -> bool:
        return id(a) in self._numbers and self._numbers[id(a)][0]() is a

    def _is_known_as_another(self, found: Any, used: list[int]) -> bool:
        """Tell whether this is the whole of another tensor, in its shape: then let it be that one."""
        place = _place(found)
        for n in used:
            if place and self._places[n] == place:
                self._numbers[id(found)] = weakref.ref(found), n
                return True
        return False

    def _result(self, a: Any, used: list[int]) -> Var:
        return self.variable(a) if self._knows(a) else Var(self._new(a, used))

    def _new(self, a: Any, used: Iterable[int] = ()) -> int:
        """Give a tensor a number, and its group: those whose memory it shares, of the tensors `used`."""
        number, place = len(self.groups), _place(a)
        self._numbers[id(a)] = weakref.ref(a), number
        self._places.append(place)
        self.groups.append(next(
            (self.groups[n] for n in used if place and self._places[n][:1] == place[:1]), number))
        return number

    def _of(self, given: Any) -> Any:
        """Put variables in the place of tensors."""
        if isinstance(given, torch.Tensor):
            return self.variable(given)
        if isinstance(given, tuple | list):
            return (tuple if isinstance(given, tuple) else list)(map(self._of, given))
        return {name: self._of(a) for name, a in given.items()} if isinstance(given, dict) else given


def variables(given: Any) -> Iterable[int]:
    """Give the numbers of all variables."""
    if isinstance(given, Var):
        yield given.number
    elif isinstance(given, tuple | list):
        for a in given:
            yield from variables(a)
    elif isinstance(given, dict):
        yield from variables(list(given.values()))


def _tensors(given: Any) -> Iterable[Any]:
    if isinstance(given, torch.Tensor):
        yield given
    elif isinstance(given, tuple | list):
        for a in given:
            yield from _tensors(a)
    elif isinstance(given, dict):
        yield from _tensors(list(given.values()))


def _place(a: Any) -> tuple[Any, ...]:
    """Give the address of a tensor's memory, and how it lies there; nothing if it has none."""
    if a.layout is not torch.strided or not (address := a.untyped_storage().data_ptr()):
        return ()
    return address, a.storage_offset(), a.shape, a.stride(), a.dtype


def _is_mask(key: Any) -> bool:
    """Tell whether a key to elements has a tensor of yes and no."""
    keys = key if isinstance(key, tuple) else (key,)
    return any(isinstance(k, list) or getattr(k, "dtype", None) in (torch.bool, torch.uint8) for k in keys)
