"""A layer run on other arrays than its own, and left as it was."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import array_api_compat

from xpnet.functional._array import Array, array_namespace, device
from xpnet.testing._host import Draws
from xpnet.testing.inputs import is_floating
from xpnet.testing.layer_wants import CheckSkipped, kind
from xpnet.testing.parameters import ParameterAccess, attributes_kept
from xpnet.testing.sites import copied, elsewhere

__all__ = ["Held", "LayerAtWork", "Map", "Point", "Run", "dout_for", "itself"]

Map = Callable[[Array], Array]


def itself(x: Array) -> Array:
    """Give the array itself."""
    return x


class Point(NamedTuple):
    """The inputs and the parameters of a run, in containers that JAX can trace."""

    inputs: list[Array]
    params: dict[str, Array]

    def named(self) -> dict[str, Array]:
        """Give all of them by name."""
        return {**_named(self.inputs), **self.params}

    def like(self) -> Array:
        """Give the array that results should be like: the first that is floating, or the first."""
        every = [*self.inputs, *self.params.values()]
        return next(filter(is_floating, every), every[0])

    def moved(self) -> list[Array]:
        """Give inputs of which the first has other values; labels stay."""
        return [elsewhere(self.inputs[0], Draws(0)), *self.inputs[1:]]


class Run(NamedTuple):
    """What came out: the output, and the gradients, None where there is none, by variable."""

    output: Array
    gradients: dict[str, Any]

    def apart(self) -> Run:
        """Give copies, which the layer's next run leaves alone, whatever it writes to."""
        return Run(_copied(self.output), {name: _copied(g) for name, g in self.gradients.items()})

    def named(self) -> dict[str, Array]:
        """Give all arrays, by what messages call them."""
        return {"the output": self.output, **{f"the gradient of {name}": g
                for name, g in self.gradients.items() if g is not None}}


def dout_for(y: Array) -> Array:
    """Draw a gradient with respect to an output: for one shape the same on every library."""
    return Draws(0).direction(y)


class Held:
    """A layer that holds the parameters of a point, for a while."""

    def __init__(self, layer: Any, point: Point, access: ParameterAccess) -> None:
        self.layer, self._point, self._access = layer, point, access

    def forward(self, inputs: list[Array] | None = None) -> Array:
        """Give the output, at the point or at other inputs; as an array, if it is a number."""
        y = self.layer.forward(*(self._point.inputs if inputs is None else inputs))
        return _as_array(y, self._point.like())

    def backward(self, dout: Array) -> dict[str, Any]:
        """Give the gradients of inputs and parameters."""
        found = _call(self.layer.backward, dout)
        of_inputs = list(found) if isinstance(found, tuple | list) else [found]
        return {**_named(of_inputs), **self._access.gradients(self.layer)}

    def run(self, inputs: list[Array] | None = None, of_dout: Map = itself) -> Run:
        """Go forward and, with the `dout` that belongs to the output, backward."""
        y = self.forward(inputs)
        return Run(y, self.backward(of_dout(dout_for(y))))


class LayerAtWork:
    """A layer and its inputs, to be run with others in the place of its arrays.

    Every run begins with the layer as it was given, and leaves it so.
    """

    def __init__(self, layer: Any, inputs: tuple[Array, ...]) -> None:
        self.layer, self.inputs = layer, inputs

        def run() -> None:
            y = _as_array(layer.forward(*map(copied, inputs)), inputs[0])
            _call(layer.backward, array_namespace(y).ones_like(y))

        with attributes_kept(layer):
            self._access = ParameterAccess(layer, run)
        self._params = self._access.read()

    def point(self, change: Map = copied, rows: slice = slice(None)) -> Point:
        """Give the inputs, or some rows of them, and the parameters, each changed by a function."""
        params = {name: change(p) for name, p in self._params.items()}
        replaced = any(kind(p) != kind(self._params[name]) for name, p in params.items())
        if replaced and not self._access.can_cast:
            raise CheckSkipped("the parameters cannot be replaced: "
                               f"{type(self.layer).__name__} has no bind")
        return Point([change(x[rows, ...]) for x in self.inputs], params)

    @contextlib.contextmanager
    def holding(self, point: Point, of_others: Map = copied) -> Iterator[Held]:
        """Let the layer hold the parameters of a point, and change what other arrays it has."""
        # A dictionary of parameters without bind may share arrays with the attributes: then no copies.
        change = of_others if self._access.can_cast else None
        with attributes_kept(self.layer, change), self._access.holding(point.params) as layer:
            if not point.params and hasattr(layer, "bind"):  # it may want that under jit
                layer = _call(layer.bind, {})
            yield Held(layer, point, self._access)

    def run(self, point: Point, of_dout: Map = itself, of_others: Map = copied) -> Run:
        """Go forward and backward at a point, with `dout` and arrays of its own changed so."""
        with self.holding(point, of_others) as held:
            return held.run(of_dout=of_dout).apart()


def _named(inputs: list[Any]) -> dict[str, Any]:
    return {f"input {k}" if k else "x": x for k, x in enumerate(inputs)}


def _copied(x: Any) -> Any:
    return copied(x) if array_api_compat.is_array_api_obj(x) else x


def _as_array(y: Any, like: Array) -> Array:
    """Make a Python number, as some losses give, an array: of that, the check "output" speaks."""
    if isinstance(y, int | float) and not hasattr(y, "shape"):
        return array_namespace(like).asarray(y, dtype=like.dtype, device=device(like))
    return y


def _call(method: Callable[..., Any], argument: Any) -> Any:
    """Call a method with an argument, unless it takes none, as the backward of a loss may."""
    try:
        takes_any = bool(inspect.signature(method).parameters)
    except (TypeError, ValueError):  # compiled methods often have no signature
        takes_any = True
    return method(argument) if takes_any else method()
