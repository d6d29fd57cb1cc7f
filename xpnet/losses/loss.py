"""What every loss has."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self, TypeVar

from xpnet._recordable import Recordable
from xpnet.functional._array import Array, array_namespace, check_concrete, sum_dtype

__all__ = ["Loss"]

Function = TypeVar("Function", bound=Callable[..., Any])


class Loss(Recordable, ABC):
    """The last layer of a network: scores and labels in, the loss out.

    Attributes
    ----------
    metric : str
        The function of `xpnet.metrics` that says how well such a network does.
    name : str
        What error messages call the loss.
    loss : array
        The last loss, 0-dimensional, or `(…)`, one a network.
    y : array
        The last predictions, `(…, N, C)`: of a classifier, probabilities.
    x, t, sample_weight : array
        What the last `forward` was given.
    """

    metric: ClassVar[str]
    name: str
    _bound = False
    _kernels: Mapping[str, Callable[..., Any]] = {}

    def __init__(self) -> None:
        self.name = type(self).__name__
        self.loss: Array = None
        self.y: Array = None
        self.x: Array = None
        self.t: Array = None
        self.sample_weight: Array | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """What the loss was made with, by name."""
        return {}

    @abstractmethod
    def forward(self, x: Array, t: Array, sample_weight: Array | None = None) -> Array:
        """Compute the loss, 0-dimensional, or `(…)`, one a network."""

    def total_weight(self) -> Array | int:
        """Tell by how much the rows of the last forward count in its mean, together.

        Where several ranks have a part of a batch each, their losses count by it.
        """
        self.check_forward()
        if self.sample_weight is None:
            return int(self.x.shape[-2])
        xp = array_namespace(self.sample_weight, self.x)
        return xp.sum(xp.astype(self.sample_weight, sum_dtype(self.x), copy=False), axis=-1)

    @abstractmethod
    def backward(self, dout: Array | float = 1) -> Array:
        """Give the gradient of the last loss with respect to the scores, times `dout`."""

    @abstractmethod
    def predictions(self, x: Array) -> Array:
        """Turn scores into what the network predicts, of their shape: of a classifier, probabilities."""

    def with_kernels(self, kernels: Mapping[str, Callable[..., Any]]) -> Self:
        """Give a copy that computes with these functions in the place of those of their names.

        Parameters
        ----------
        kernels : mapping
            As a backend has them for functions of `xpnet.functional`: `Backend.kernels`.
        """
        fast = copy.copy(self)
        fast._kernels = kernels
        return fast

    def fast(self, function: Function) -> Function:
        """Give the function, or what was put in its place."""
        return self._kernels.get(function.__name__, function)  # type: ignore[return-value]

    def bind(self) -> Self:
        """Give a copy for one call, which may be traced by `jax.jit`."""
        bound = copy.copy(self)
        bound._bound = True
        return bound

    def check_inputs(self, x: Array, t: Array, sample_weight: Array | None) -> None:
        """Refuse arrays that must not be kept (TypeError): on an autograd tape, or traced."""
        check_concrete(self.name, x, t, sample_weight, remedy=None if self._bound else (
            "bind it first, in the traced function: loss.bind().forward(x, t)"
        ))

    def check_forward(self) -> None:
        """Refuse a backward without a forward before it (RuntimeError)."""
        if self.y is None:
            raise RuntimeError(f"{self.name}.backward wants a forward before it")
