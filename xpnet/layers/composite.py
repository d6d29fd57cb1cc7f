"""Layers made of layers."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

from xpnet.functional._array import Array
from xpnet.layers.layer import Layer
from xpnet.layers.parameters import Parameters
from xpnet.layers.stacks import align_stacks

__all__ = ["Composite", "leaves_of"]


class Composite(Layer):
    """A layer made of layers, whose parameters are numbered through, as in the book.

    The k-th layer that has a `W`, counted from the input and into layers made of layers, brings the
    parameter `Wk`; so it is with every other name, and with the state.

    A layer that another one holds already stays there as it is, with its name and its random numbers. Here
    it is a copy, which shares its arrays until either gets others, as an optimiser gives them.

    Parameters
    ----------
    layers : sequence or mapping
        Layers, in order. In a mapping they have names, for messages; else these are made of the name
        of their class and a number, as "Affine1".

    Attributes
    ----------
    layers : dict
        The layers by name.
    """

    has_train_flg: ClassVar[bool] = True

    def __init__(self, layers: Sequence[Layer] | Mapping[str, Layer]) -> None:
        super().__init__()
        given = dict(layers) if isinstance(layers, Mapping) else _named(layers)
        for layer in given.values():
            if not isinstance(layer, Layer):
                raise TypeError(f"{self.name} wants layers, of subclasses of xpnet.layers.Layer; "
                                f"got {type(layer).__name__}")
        ids = [id(leaf) for layer in given.values() for leaf in leaves_of(layer)]
        if len({*ids}) < len(ids):
            raise ValueError(f"{self.name} wants each layer once, for it remembers its input: "
                             "make two that share their arrays")
        self.layers = {name: _to_hold(layer) for name, layer in given.items()}
        self._set_names("")
        leaves = self.leaves()
        for stream, leaf in enumerate(leaf for leaf in leaves if leaf.draws):
            leaf.stream = stream
        self._param_places = _numbered([leaf.param_ndims for leaf in leaves])
        self._state_places = _numbered([leaf.state_ndims for leaf in leaves])
        # What other layers have by their class, layers made of layers have each by itself.
        self.param_ndims = {  # type: ignore[misc]
            name: leaves[k].param_ndims[attribute] for name, k, attribute in self._param_places
        }
        self.state_ndims = {  # type: ignore[misc]
            name: leaves[k].state_ndims[attribute] for name, k, attribute in self._state_places
        }
        self.stack_axes = max((_stack_axes(leaf) for leaf in leaves), default=0)
        for leaf in leaves:
            leaf.stack_axes = self.stack_axes

    @property
    def params(self) -> Parameters:
        """The live view of the parameters: `params["W1"] -= step` trains everywhere."""
        return Parameters(self._owners(self._param_places))

    @property
    def state(self) -> Parameters:
        """The live view of the state."""
        return Parameters(self._owners(self._state_places), kind="state")

    @property
    def grads(self) -> dict[str, Array]:
        """The gradients of the parameters that the last `backward` found, by their names."""
        owners = self._owners(self._param_places)
        return {name: getattr(leaf, f"d{attribute}") for name, (leaf, attribute) in owners.items()}

    def bind(
        self,
        params: Mapping[str, Array],
        state: Mapping[str, Array] | None = None,
        counter: Array | None = None,
    ) -> Self:
        """Give a copy that holds these parameters instead.

        That makes a training step a pure function of plain dictionaries of arrays, which can be
        traced and compiled; and a network with a stack of parameters computes for all of them at
        once. Only pure updates may follow: `params[name] -= step` on the copy would change, on
        mutable arrays, what was given here.

        Parameters
        ----------
        params : mapping
            Some or all parameters, by name, of the shapes of the network's own. With a stack axis
            in front of any, the others get one of length 1.
        state : mapping, optional
            Some or all of the state. What a forward in training makes of it is the copy's `state`.
        counter : array, optional
            Where to draw random numbers: seed and step, int32, `(2,)`, or `(…, 2)`, one a network of
            a stack. The copy does not count on.
        """
        owners = self._owners(self._param_places + self._state_places)
        held = {name: getattr(leaf, attribute) for name, (leaf, attribute) in owners.items()}
        arrays, axes = align_stacks(
            held, {**params, **(state or {})}, {**self.param_ndims, **self.state_ndims}
        )
        of_leaf: dict[int, dict[str, Array]] = {}
        for name, (leaf, attribute) in owners.items():
            of_leaf.setdefault(id(leaf), {})[attribute] = arrays[name]
        return self._with_leaves(
            lambda leaf: leaf._holding(of_leaf.get(id(leaf), {}), axes, counter),
            _bound=True, stack_axes=axes,
        )

    def member(self, k: int) -> Self:
        """Give one of a stack's networks, as an ordinary one with arrays of its own.

        Parameters
        ----------
        k : int
            Its number, along the first axis of the stack.
        """
        if not self.stack_axes:
            raise ValueError(f"{self.name} is no stack, of which a member could be taken")
        members = max(p.shape[0] for p in self.params.values())
        if not 0 <= k < members:
            raise IndexError(f"{self.name} is a stack of {members}: 0 to {members - 1}; got {k}")
        return self._with_leaves(lambda leaf: leaf.member(k), stack_axes=self.stack_axes - 1)

    def with_kernels(self, kernels: Mapping[str, Callable[..., Any]]) -> Self:
        """Give a copy whose layers compute with these functions in the place of those of their names.

        Parameters
        ----------
        kernels : mapping
            As a backend has them for functions of `xpnet.functional`: `Backend.kernels`.
        """
        return self._with_leaves(lambda leaf: leaf.with_kernels(kernels))

    def is_recordable(self) -> bool:
        """Tell whether it and all its layers, also those within others, are `recordable`."""
        return self.recordable and all(
            layer.is_recordable() if isinstance(layer, Composite) else layer.recordable
            for layer in self.layers.values()
        )

    def leaves(self) -> list[Layer]:
        """Give the layers that are not made of layers, from the input on."""
        return [leaf for layer in self.layers.values() for leaf in leaves_of(layer)]

    def _set_names(self, prefix: str) -> None:
        for name, layer in self.layers.items():
            layer.name = prefix + name
            if isinstance(layer, Composite):
                layer._set_names(f"{layer.name}.")

    def _owners(self, places: Sequence[tuple[str, int, str]]) -> dict[str, tuple[Layer, str]]:
        leaves = self.leaves()
        return {name: (leaves[k], attribute) for name, k, attribute in places}

    def _with_leaves(self, make: Callable[[Layer], Layer], **attributes: object) -> Self:
        """Give a copy with other leaves, and with these attributes wherever layers are made of layers."""
        other = copy.copy(self)
        vars(other).update(attributes)
        other.layers = {
            name: layer._with_leaves(make, **attributes) if isinstance(layer, Composite)
            else make(layer)
            for name, layer in self.layers.items()
        }
        return other


def run_forward(layer: Layer, x: Array, train_flg: bool) -> Array:
    """Go forward through a layer, which may or may not tell training from inference."""
    return layer.forward(x, train_flg) if layer.has_train_flg else layer.forward(x)  # type: ignore[call-arg]


def leaves_of(layer: Layer) -> list[Layer]:
    """Give the layers that it is made of, or it itself."""
    return layer.leaves() if isinstance(layer, Composite) else [layer]


def _to_hold(layer: Layer) -> Layer:
    """Give the layer itself, or a copy if another one holds it."""
    if layer._held:
        layer = layer._with_leaves(copy.copy) if isinstance(layer, Composite) else copy.copy(layer)
    layer._held = True
    return layer


def _stack_axes(leaf: Layer) -> int:
    ndims = {**leaf.param_ndims, **leaf.state_ndims}
    return max((getattr(leaf, name).ndim - ndim for name, ndim in ndims.items()), default=0)


def _named(layers: Sequence[Layer]) -> dict[str, Layer]:
    counts: Counter[str] = Counter()
    named = {}
    for layer in layers:
        counts[kind := type(layer).__name__] += 1
        named[f"{kind}{counts[kind]}"] = layer
    return named


def _numbered(attributes_of: Sequence[Mapping[str, int]]) -> list[tuple[str, int, str]]:
    """Give name, number of the leaf and attribute of all that the leaves have."""
    counts: Counter[str] = Counter()
    places = []
    for k, attributes in enumerate(attributes_of):
        counts.update(attributes.keys())
        places += [(f"{attribute}{counts[attribute]}", k, attribute) for attribute in attributes]
    return places
