"""The live view of a layer's or network's parameters, and the stacking of some among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from xpnet.functional._array import Array, array_namespace, check_concrete, device

__all__ = ["Parameters", "align_stacks"]


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


def align_stacks(
    held: Mapping[str, Array], given: Mapping[str, Array], ndims: Mapping[str, int]
) -> tuple[dict[str, Array], int]:
    """Put the given arrays in the place of those held, all with equally many stack axes.

    Parameters
    ----------
    held : mapping
        All parameters, and state, by name.
    given : mapping
        Some or all of them, of the same shapes but for the stack axes in front.
    ndims : mapping
        The number of dimensions of each without stack axes.

    Returns
    -------
    arrays : dict
        All of them; those with fewer stack axes than the others get axes of length 1.
    axes : int
        How many stack axes they have.
    """
    held = dict(held)
    for name, p in given.items():
        if name not in held:
            raise KeyError(f"no parameter {name!r}; there are {', '.join(held)}")
        check_concrete(f'parameter "{name}"', p, remedy=None)
        own = held[name].shape
        if p.shape == own:
            continue
        own = tuple(own[len(own) - ndims[name]:])
        if p.ndim < ndims[name] or tuple(p.shape[p.ndim - ndims[name]:]) != own:
            raise ValueError(f'parameter "{name}" is of shape {own}, with stack axes in front '
                             f"if any; got {tuple(p.shape)}")
    merged = held | dict(given)
    axes = max((p.ndim - ndims[name] for name, p in merged.items()), default=0)
    if axes == 0:
        return merged, 0
    return {
        name: p[(None,) * missing + (...,)] if (missing := axes + ndims[name] - p.ndim) else p
        for name, p in merged.items()
    }, axes
