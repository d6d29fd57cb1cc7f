"""The live view of a layer's or network's parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from xpnet.functional._array import Array, array_namespace, check_concrete, device

__all__ = ["Parameters"]


class Parameters(MutableMapping[str, Array]):
    """A mapping from names to arrays that layers own.

    Reading gives the layer's array itself, assigning makes the layer hold another one. So
    `params[name] -= step` trains on every library: in place where arrays are mutable, by
    rebinding where they are not. (The book keeps a dictionary beside the layers; with immutable
    arrays the layers would never see the new ones.)

    Parameters
    ----------
    owners : mapping
        The layer and its attribute for each name.
    kind : str
        What messages call one of them.
    """

    def __init__(self, owners: Mapping[str, tuple[Any, str]], kind: str = "parameter") -> None:
        self.owners = owners
        self._kind = kind

    def __getitem__(self, name: str) -> Array:
        layer, attribute = self._owner(name)
        return getattr(layer, attribute)

    def __setitem__(self, name: str, value: Array) -> None:
        layer, attribute = self._owner(name)
        held = getattr(layer, attribute)
        if value is held:  # what `params[name] -= step` ends with on mutable arrays
            return
        if not hasattr(value, "shape"):
            raise TypeError(f'{self._kind} "{name}" is an array; got {value!r}')
        array_namespace(held, value)
        check_concrete(f'{self._kind} "{name}"', value, remedy=None if layer._bound else (
            "bind it instead: network.bind(params)"
        ))
        if device(value) != device(held):
            raise ValueError(
                f'{self._kind} "{name}" is on {device(held)}; got one on {device(value)}'
            )
        if tuple(value.shape) != tuple(held.shape) or value.dtype != held.dtype:
            raise ValueError(
                f'{self._kind} "{name}" is of shape {tuple(held.shape)} and dtype {held.dtype}; '
                f"got {tuple(value.shape)} and {value.dtype}"
            )
        setattr(layer, attribute, value)

    def __delitem__(self, name: str) -> None:
        raise TypeError(f'{self._kind} "{name}" belongs to a layer and cannot be deleted')

    def __iter__(self) -> Iterator[str]:
        return iter(self.owners)

    def __len__(self) -> int:
        return len(self.owners)

    def __repr__(self) -> str:
        inside = ", ".join(f"{n!r}: {tuple(p.shape)} {p.dtype}" for n, p in self.items())
        return f"{type(self).__name__}({{{inside}}})"

    def _owner(self, name: str) -> tuple[Any, str]:
        try:
            return self.owners[name]
        except KeyError:
            there = ", ".join(self) or "none"
            raise KeyError(f"no {self._kind} {name!r}; there are {there}") from None
