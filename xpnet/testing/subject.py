"""What is checked, in one form: a function of arrays by name, and its gradients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from xpnet.functional._array import Array, array_namespace
from xpnet.testing.inputs import check_gradient, describe

__all__ = ["Point", "Stage", "Subject"]

Point: TypeAlias = Mapping[str, Array]
"""The inputs and parameters, by name."""


class Stage(NamedTuple):
    """A parameter in whose elements the output of a layer is linear, and what follows that layer.

    Attributes
    ----------
    layer : object
        A bound copy, whose last forward was that of the subject.
    attribute : str
        The layer's own name for the parameter.
    x, output : array
        The input and the output of that forward.
    rest : callable
        From the layer's output to the subject's value.
    stacked_rest : callable
        The same for a stack of outputs, if the layers behind compute on stacks.
    is_last : bool
        Whether nothing follows: the output is the value.
    """

    layer: Any
    attribute: str
    x: Array
    output: Array
    rest: Callable[[Array], Array]
    stacked_rest: Callable[[Array], Array]
    is_last: bool = False


class Subject(ABC):
    """A function of arrays, and a backward that claims to be its gradient.

    Attributes
    ----------
    name : str
        What messages call it.
    inputs : dict
        The inputs, by name.
    point : dict
        The inputs and the parameters.
    variables : list of str
        Those among them that the backward gives gradients for. A layer tells by its first backward.
    fixed_gradient : bool
        Whether gradients are known at this point alone.
    can_cast : bool
        Whether it can be evaluated in another dtype.
    threadsafe : bool
        Whether it can be evaluated in several threads at once.
    notes : list of str
        What the user should know of how it is seen.
    """

    fixed_gradient = False
    can_cast = True
    threadsafe = True

    def __init__(self, name: str, inputs: Mapping[str, Array]) -> None:
        self.name = name
        self.inputs = dict(inputs)
        self.point = dict(inputs)
        self.variables: list[str] = []
        self.notes: list[str] = []

    @abstractmethod
    def _value(self, point: Point) -> Array: ...

    @abstractmethod
    def _gradients(self, point: Point, dout: Array) -> dict[str, Any]: ...

    @abstractmethod
    def stacked_value(self, point: Point, name: str, stack: Array) -> Array:
        """Evaluate it for each of a stack of arrays in the place of one: `(c, *value.shape)`.

        This supposes that it computes on stacks; whoever uses it has to see whether it does.
        """

    @property
    def movable(self) -> list[str]:
        """Give the names of what can be moved without losing its meaning: not of labels."""
        first = next(iter(self.inputs))
        return [name for name in self.point if name == first or name not in self.inputs]

    def value(self, point: Point) -> Array:
        """Evaluate it there."""
        try:
            return self._value(point)
        except Exception as error:
            error.add_note(f"raised in check_gradients, by {self.name} at {describe(point)}")
            raise

    def gradients(self, point: Point, dout: Array) -> dict[str, Array]:
        """Give the gradients of `sum(dout * value)` there, as its own backward finds them.

        Raises
        ------
        TypeError, ValueError
            If they are not arrays of the variables' library and shape.
        """
        try:
            found = self._gradients(point, dout)
        except Exception as error:
            error.add_note(f"raised in check_gradients, by the backward of {self.name} with dout "
                           f"{tuple(dout.shape)} {dout.dtype}, after a forward at {describe(point)}")
            raise
        if not self.variables:
            raise ValueError(f"the backward of {self.name} gives no gradient")
        for name in self.variables:
            check_gradient(self.name, name, point[name], found.get(name))
        return {name: found[name] for name in self.variables}

    def dout_like(self, value: Array) -> Array | None:
        """Give the only dout that it can take, ones, if it does not take any."""
        return array_namespace(value).ones_like(value)

    def stages(self, point: Point) -> dict[str, Stage | None]:
        """Give the parameters that belong to layers with `tangents`, each with its stage.

        None for one that several layers share: it follows from no single one of them.
        """
        return {}
