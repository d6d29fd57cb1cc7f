"""What every layer has."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self, TypeVar

from xpnet._recordable import Recordable
from xpnet.functional._array import Array, array_namespace, check_concrete
from xpnet.layers.parameters import Parameters
from xpnet.layers.stacks import align_stacks, broadcast_shape

__all__ = ["Layer"]

Function = TypeVar("Function", bound=Callable[..., Any])


class Layer(Recordable, ABC):
    """A step of a network that remembers from `forward` what its `backward` needs.

    A layer with a parameter `W` keeps the array as `self.W` and, after `backward`, its gradient as
    `self.dW`, and says so in `param_ndims`. Constructors keep the arrays they are given, not
    copies. State, as running statistics, is what `forward` replaces and no gradient trains.

    Attributes
    ----------
    name : str
        What error messages call the layer; a network sets its own name for it.
    param_ndims, state_ndims : mapping
        The names of the parameters and of the state, and their number of dimensions without stack
        axes.
    has_train_flg : bool
        Whether `forward(x, train_flg=True)` tells training from inference.
    draws : bool
        Whether training draws random numbers. Such a layer has a `counter`, from which they follow,
        and a `stream`, by which a network tells its layers apart.
    stack_axes : int
        How many axes of the parameters of the network, and so of inputs, are a stack's.
    """

    param_ndims: ClassVar[Mapping[str, int]] = {}
    state_ndims: ClassVar[Mapping[str, int]] = {}
    has_train_flg: ClassVar[bool] = False
    draws: ClassVar[bool] = False
    name: str
    stack_axes: int = 0
    counter: Array = None
    stream: int = 0
    _bound = False
    _held = False
    _kernels: Mapping[str, Callable[..., Any]] = {}

    def __init_subclass__(cls) -> None:
        """Let a class that has its own `backward` not inherit what goes with another one."""
        super().__init_subclass__()
        if "backward" in vars(cls) and "backward_params" not in vars(cls):
            cls.backward_params = Layer.backward_params  # type: ignore[method-assign]

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

    def backward_params(self, dout: Array) -> None:
        """Set the gradients of the parameters alone: of the first layer's input nobody asks for it.

        Parameters
        ----------
        dout : array
            As for `backward`.
        """
        self.backward(dout)

    @property
    def params(self) -> Parameters:
        """The live view of the parameters."""
        return Parameters({name: (self, name) for name in self.param_ndims})

    @property
    def state(self) -> Parameters:
        """The live view of the state."""
        return Parameters({name: (self, name) for name in self.state_ndims}, kind="state")

    @property
    def grads(self) -> dict[str, Array]:
        """The gradients of the parameters that the last `backward` found, by parameter."""
        return {name: getattr(self, f"d{name}") for name in self.param_ndims}

    def bind(
        self,
        params: Mapping[str, Array],
        state: Mapping[str, Array] | None = None,
        counter: Array | None = None,
    ) -> Self:
        """Give a copy that holds these parameters instead.

        The copy is made for one call: to be traced by `jax.jit`, or to evaluate a stack of
        parameters. It shares all that is not named.

        Parameters
        ----------
        params : mapping
            Some or all parameters, by name.
        state : mapping, optional
            Some or all of the state. What `forward` makes of it is the copy's `state`.
        counter : array, optional
            Where to draw random numbers: seed and step, int32, `(2,)`, or `(…, 2)`, one a network of
            a stack. The copy does not count on.
        """
        ndims = {**self.param_ndims, **self.state_ndims}
        arrays, axes = align_stacks(
            {**self.params, **self.state}, {**params, **(state or {})}, ndims
        )
        return self._holding(arrays, axes if ndims else self.stack_axes, counter)

    def member(self, k: int) -> Self:
        """Give one of a stack's layers, as an ordinary one with arrays of its own.

        Parameters
        ----------
        k : int
            Its number, along the first axis of the stack.
        """
        one = copy.copy(self)
        for name, ndim in {**self.param_ndims, **self.state_ndims}.items():
            a = getattr(self, name)
            if a.ndim > ndim:
                setattr(one, name, array_namespace(a).asarray(a[k, ...], copy=True))
        one.stack_axes = max(self.stack_axes - 1, 0)
        return one

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
        """Give the function, or what was put in its place: in a stack, that of its name with `stacked_`."""
        name = function.__name__
        kernel, stacked = (self._kernels.get(key) for key in (name, f"stacked_{name}"))
        if kernel is stacked is None:
            return function
        found = stacked if self.stack_axes or self.stack_shape() else kernel
        return function if found is None else found  # type: ignore[return-value]

    def stack_shape(self) -> tuple[int, ...]:
        """Give the stack axes that the parameters have together; refuse what has none (ValueError)."""
        shapes = {name: tuple(getattr(self, name).shape) for name in self.param_ndims}
        stack = broadcast_shape(*(
            shape[:len(shape) - self.param_ndims[name]] for name, shape in shapes.items()))
        if stack is None:
            raise ValueError(f"{self.name} wants parameters of one stack; got "
                             + " and ".join(f"{name} {shape}" for name, shape in shapes.items()))
        return stack

    def check_input(self, x: Array) -> None:
        """Refuse an input that must not be kept (TypeError): on an autograd tape, or traced."""
        check_concrete(self.name, x, remedy=None if self._bound else (
            "bind it first, in the traced function: layer.bind(params).forward(x)"
        ))

    def check_dout(self, dout: Array, shape: tuple[int, ...]) -> None:
        """Refuse a gradient that is not that of an output of this shape (ValueError).

        In a stack, one of its axes that has length 1 may be longer: one gradient for each network.
        """
        stack = min(self.stack_axes, max(len(shape) - 2, 0))
        wanted, got = tuple(shape), tuple(dout.shape)
        if len(got) != len(wanted) or got[stack:] != wanted[stack:] or any(
            n not in (m, 1) for m, n in zip(got[:stack], wanted[:stack], strict=True)
        ):
            raise ValueError(f"{self.name} wants dout of shape {wanted}; got {got}")

    def _holding(self, arrays: Mapping[str, Array], stack_axes: int, counter: Array) -> Self:
        """Give a bound copy with these arrays for attributes."""
        bound = copy.copy(self)
        vars(bound).update(arrays)
        bound._bound, bound.stack_axes = True, stack_axes
        if counter is not None:
            bound.counter = counter
        return bound
