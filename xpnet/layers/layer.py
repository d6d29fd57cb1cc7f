"""What every layer has."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Self

from xpnet.functional._array import Array, check_concrete
from xpnet.layers.parameters import Parameters, align_stacks

__all__ = ["Layer"]


class Layer(ABC):
    """A step of a network that remembers from `forward` what its `backward` needs.

    A layer with a parameter `W` keeps the array as `self.W` and, after `backward`, its gradient as
    `self.dW`, and says so in `param_ndims`. Constructors keep the arrays they are given, not
    copies.

    Attributes
    ----------
    name : str
        What error messages call the layer; a network sets its own name for it.
    param_ndims : mapping
        The parameters' names, and their number of dimensions without stack axes.
    """

    param_ndims: ClassVar[Mapping[str, int]] = {}
    name: str
    _bound = False

    def __init__(self) -> None:
        self.name = type(self).__name__

    @abstractmethod
    def forward(self, x: Array) -> Array:
        """Compute the output."""

    @abstractmethod
    def backward(self, dout: Array) -> Array:
        """Turn the gradient with respect to the last output into that with respect to its input.

        Sets the gradients of the parameters on the way.
        """

    @property
    def params(self) -> Parameters:
        """The live view of the parameters."""
        return Parameters({name: (self, name) for name in self.param_ndims})

    @property
    def grads(self) -> dict[str, Array]:
        """The gradients of the parameters that the last `backward` found, by parameter."""
        return {name: getattr(self, f"d{name}") for name in self.param_ndims}

    def bind(self, params: Mapping[str, Array]) -> Self:
        """Give a copy that holds these parameters instead.

        The copy is made for one call: to be traced by `jax.jit`, or to evaluate a stack of
        parameters. It shares all parameters that are not named.
        """
        bound = copy.copy(self)
        bound._bound = True
        for name, p in align_stacks(self.params, params, self.param_ndims).items():
            setattr(bound, name, p)
        return bound

    def check_input(self, x: Array) -> None:
        """Refuse an input that must not be kept (TypeError): on an autograd tape, or traced."""
        check_concrete(self.name, x, remedy=None if self._bound else (
            "bind it first, in the traced function: layer.bind(params).forward(x)"
        ))
