"""Functions with a backward beside them, or with a gradient from elsewhere, as subjects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from xpnet.functional._array import Array
from xpnet.testing.inputs import describe, is_floating, name_of, named_inputs, one_array
from xpnet.testing.subject import Point, Subject

__all__ = ["FunctionSubject"]


class FunctionSubject(Subject):
    """`f(*inputs)`, with `backward(dout, *inputs)` or with a gradient of scalars.

    Parameters
    ----------
    f : callable
    inputs : sequence of array
    backward : callable or None
    gradient : callable, array or sequence of arrays, or None
        One of the two is None.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        inputs: Sequence[Array],
        backward: Callable[..., Any] | None,
        gradient: Any,
    ) -> None:
        super().__init__(name_of(f), named_inputs(f, inputs))
        self._f, self._backward, self._gradient = f, backward, gradient
        self.fixed_gradient = backward is None and not callable(gradient)
        self._floating = [name for name, x in self.inputs.items() if is_floating(x)]
        self.variables = list(self._floating)
        if not self.variables:
            raise TypeError(f"check_gradients wants an input of {self.name} of float32 or float64; got "
                            f"{describe(self.inputs)}: cast it first")

    @property
    def movable(self) -> list[str]:
        """Give the names of what can be moved."""
        return self._floating

    def _value(self, point: Point) -> Array:
        value = one_array(self.name, self._f(*(point[name] for name in self.inputs)), self.inputs)
        if self._backward is None and value.ndim:
            raise ValueError(f"with gradient=, {self.name} is to return a scalar; got an array of shape "
                             f"{tuple(value.shape)}")
        return value

    def _gradients(self, point: Point, dout: Array) -> dict[str, Any]:
        arguments = [point[name] for name in self.inputs]
        if self._backward is not None:
            found = self._backward(dout, *arguments)
        else:
            found = self._gradient(*arguments) if callable(self._gradient) else self._gradient
        gradients = list(found) if isinstance(found, tuple | list) else [found]
        if len(gradients) == len(self.inputs):
            named = dict(zip(self.inputs, gradients, strict=True))
        elif len(gradients) == len(self._floating):
            named = dict(zip(self._floating, gradients, strict=True))
        else:
            raise ValueError(f"{len(gradients)} gradients for {len(self._floating)} floating inputs, "
                             f"{', '.join(self._floating)}: one for each is wanted, None for one that "
                             "has none")
        self.variables = [name for name in self._floating if named[name] is not None]
        return named

    def stacked_value(self, point: Point, name: str, stack: Array) -> Array:
        """Evaluate it for each of a stack of arrays in the place of one."""
        return self._f(*(stack if key == name else point[key][None, ...] for key in self.inputs))

    def dout_like(self, value: Array) -> Array | None:
        """Give the only dout that it can take, if so."""
        return None if self._backward is not None else super().dout_like(value)
