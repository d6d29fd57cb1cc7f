"""The parameters of a layer or network: where they are, and the layer with others in their place."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import array_api_compat

from xpnet.functional._array import Array
from xpnet.testing._host import is_array
from xpnet.testing.sites import copied

__all__ = ["ParameterAccess", "all_kept", "attributes_kept"]

Undo = Callable[[], None]


class _Slot(NamedTuple):
    get: Callable[[], Array]
    hold: Callable[[Array], Undo]
    gradient: Callable[[Any], Array]
    """Of the layer that did the backward: this one, or a bound copy."""


class ParameterAccess:
    """How to read a layer's parameters and their gradients, and to try others.

    Three forms are known:

    - `params`, a mapping, with `grads`, a mapping, or attributes `dW`; and, if the layer has it,
      `bind(params)`, which gives a copy of the layer that holds others;
    - `params` and `grads`, lists, as in the book's second volume;
    - attributes `W` beside `dW`, as in the book, of which `backward` sets the second.

    Parameters
    ----------
    layer : object
        A layer or network.
    run : callable, optional
        Runs its forward and backward: for the third form, whose parameters are those arrays that
        this leaves alone, and gives a gradient.
    """

    def __init__(self, layer: Any, run: Callable[[], object] | None = None) -> None:
        self.layer = layer
        self.constants: list[str] = []
        """What a layer that names no parameters holds besides: arrays without a gradient, and layers."""
        self._slots = _slots(layer)
        if not self._slots and run is not None:
            with attributes_kept(layer, copied) as before:
                run()
                for name, value in before.items():
                    if is_array(value) and getattr(layer, name) is value:
                        if array_api_compat.is_array_api_obj(getattr(layer, f"d{name}", None)):
                            self._slots[name] = _attribute(layer, name)
                        else:
                            self.constants.append(name)
                    elif hasattr(value, "forward"):
                        self.constants.append(name)
        self.binds = bool(self._slots) and callable(getattr(layer, "bind", None))
        # A dictionary or list may stand beside what the layer reads, and share its arrays: these
        # are written in place, and cannot take another dtype.
        self.can_cast = self.binds or not _slots(layer)

    def read(self) -> dict[str, Array]:
        """Give the parameters by name."""
        return {name: slot.get() for name, slot in self._slots.items()}

    def gradients(self, layer: Any) -> dict[str, Array]:
        """Give the gradients that the last backward of `layer`, as `holding` gave it, has left."""
        return {name: slot.gradient(layer) for name, slot in self._slots.items()}

    @contextlib.contextmanager
    def holding(self, params: Mapping[str, Array], layer: Any = None) -> Iterator[Any]:
        """Give the layer with these parameters: a bound copy, or itself for this while.

        `layer`: what an earlier call gave, to go on with what that one remembers.
        """
        if self.binds:
            yield (self.layer if layer is None else layer).bind(params)
            return
        with contextlib.ExitStack() as undo:
            for name, p in params.items():
                undo.callback(self._slots[name].hold(p))
            yield self.layer


@contextlib.contextmanager
def attributes_kept(
    layer: Any, change: Callable[[Array], Array] | None = None
) -> Iterator[dict[str, Any]]:
    """Give a layer its attributes back afterwards, whatever it came to remember.

    `change` makes other arrays of those among them, for the while. The attributes are yielded.
    """
    before = _attributes(layer)
    try:
        if change is not None:
            for name, x in before.items():
                if is_array(x):
                    setattr(layer, name, change(x))
        yield _attributes(layer)
    finally:
        for name in _attributes(layer).keys() - before.keys():
            delattr(layer, name)
        for name, value in before.items():
            if getattr(layer, name, None) is not value:
                setattr(layer, name, value)


@contextlib.contextmanager
def all_kept(layer: Any) -> Iterator[None]:
    """Give a layer back what it had: its attributes, those of layers in it, and its lists and mappings.

    One that has `bind` is copied before it is used, and needs none of this.
    """
    with contextlib.ExitStack() as stack:
        if not callable(getattr(layer, "bind", None)) and not isinstance(layer, type):
            _keep(layer, stack, depth=3)
        yield


def _keep(thing: Any, stack: contextlib.ExitStack, depth: int) -> None:
    if depth == 0:
        return
    if isinstance(thing, dict | list):
        stack.callback(_refill, thing, thing.copy())
        for value in list(thing.values() if isinstance(thing, dict) else thing):
            if is_array(value) and array_api_compat.is_writeable_array(value):
                stack.callback(_rewrite, value, copied(value))
            else:
                _keep(value, stack, depth - 1)
    elif hasattr(thing, "forward") or hasattr(thing, "loss"):
        stack.enter_context(attributes_kept(thing))
        for value in _attributes(thing).values():
            _keep(value, stack, depth - 1)


def _refill(container: Any, content: Any) -> None:
    container.clear()
    (container.update if isinstance(container, dict) else container.extend)(content)


def _rewrite(x: Array, content: Array) -> None:
    x[...] = content


def _attributes(layer: Any) -> dict[str, Any]:
    """Give an object's own attributes, in its dictionary or its slots."""
    slots = [name for cls in type(layer).__mro__ for name in getattr(cls, "__slots__", ())
             if name not in ("__dict__", "__weakref__") and hasattr(layer, name)]
    return {name: getattr(layer, name) for name in slots} | dict(getattr(layer, "__dict__", {}))


def _slots(layer: Any) -> dict[str, _Slot]:
    params = getattr(layer, "params", None)
    if isinstance(params, Mapping):
        return {name: _item(layer, name) for name in params}
    if isinstance(params, list | tuple):
        return {f"params[{k}]": _item(layer, k) for k in range(len(params))}
    return {}


def _item(layer: Any, key: Any) -> _Slot:
    def assign(value: Array) -> None:
        held = layer.params[key]
        if array_api_compat.is_writeable_array(held):
            held[...] = value
        else:
            layer.params[key] = value

    def hold(value: Array) -> Undo:
        held = layer.params[key]
        if array_api_compat.is_writeable_array(held):
            held = copied(held)
        assign(value)

        def undo() -> None:
            if array_api_compat.is_writeable_array(value):
                value[...] = layer.params[key]  # what the layer did to it, for all to see
            assign(held)

        return undo

    def gradient(layer: Any) -> Array:
        grads = getattr(layer, "grads", None)
        return getattr(layer, f"d{key}") if grads is None else grads[key]

    return _Slot(lambda: layer.params[key], hold, gradient)


def _attribute(layer: Any, name: str) -> _Slot:
    def hold(value: Array) -> Undo:
        held = getattr(layer, name)
        setattr(layer, name, value)
        return lambda: setattr(layer, name, held)

    return _Slot(lambda: getattr(layer, name), hold, lambda layer: getattr(layer, f"d{name}"))

