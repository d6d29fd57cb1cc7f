"""Layers, losses and networks as subjects."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from xpnet.functional._array import Array, array_namespace
from xpnet.testing.inputs import is_floating, named_inputs, one_array, takes_argument, type_name
from xpnet.testing.parameters import ParameterAccess
from xpnet.testing.subject import Point, Stage, Subject

__all__ = ["LayerSubject", "NetworkSubject"]


class _WithParameters(Subject):
    """An object that holds parameters, and remembers.

    Before each forward and backward, which give the gradients, it goes forward elsewhere: if its
    backward takes anything from there, the gradients are wrong.
    """

    def __init__(
        self,
        name: str,
        inputs: Mapping[str, Array],
        elsewhere: Sequence[Array],
        access: ParameterAccess,
    ) -> None:
        super().__init__(name, inputs)
        self._elsewhere = elsewhere
        self._access = access
        self.can_cast = access.can_cast
        self.threadsafe = access.binds
        parameters = access.read()
        clash = sorted(set(parameters) & set(inputs))
        if clash:
            raise ValueError(f"an input and a parameter of {name} share the name {clash[0]!r}: the "
                             "report could not tell them apart")
        self._parameters = list(parameters)
        self.point |= parameters
        self._last: Any = None
        """The copy that was bound last, whose memory the next goes on with: as in a training loop."""

    def _params(self, point: Point) -> dict[str, Array]:
        return {name: point[name] for name in self._parameters}

    def _arguments(self, point: Point) -> list[Array]:
        return [point[name] for name in self.inputs]

    def _go_elsewhere(self, forward: Callable[..., object], point: Point) -> None:
        arguments = [array_namespace(x).astype(x, here.dtype)
                     for x, here in zip(self._elsewhere, self._arguments(point), strict=True)]
        with contextlib.suppress(Exception):  # what matters comes again
            forward(*arguments)


class LayerSubject(_WithParameters):
    """A layer or a loss: `forward(*inputs)`, `backward(dout)`.

    Parameters
    ----------
    layer : object
    inputs : sequence of array
    elsewhere : sequence of array
        Other inputs.
    """

    def __init__(self, layer: Any, inputs: Sequence[Array], elsewhere: Sequence[Array]) -> None:
        name, named = type(layer).__name__, named_inputs(layer.forward, inputs)
        self._takes_dout = takes_argument(layer.backward)

        def run() -> None:
            y = one_array(name, layer.forward(*elsewhere), named)
            self._backward(layer, array_namespace(y).ones_like(y))

        access = ParameterAccess(layer, run)
        super().__init__(name, named, elsewhere, access)
        if access.constants:
            self.notes.append(f"taken for constants, since {name} names no gradient of them: "
                              f"{', '.join(access.constants)}")

    def _backward(self, layer: Any, dout: Array) -> Any:
        return layer.backward(dout) if self._takes_dout else layer.backward()

    def _value(self, point: Point) -> Array:
        with self._access.holding(self._params(point)) as layer:
            return one_array(self.name, layer.forward(*self._arguments(point)), self.inputs)

    def _gradients(self, point: Point, dout: Array) -> dict[str, Any]:
        with self._access.holding(self._params(point), self._last) as layer:
            self._go_elsewhere(layer.forward, point)
            layer.forward(*self._arguments(point))
            dx = self._backward(layer, dout)
            self._last = layer
            gradients = self._access.gradients(layer)
        gradients |= zip(self.inputs, dx if isinstance(dx, tuple | list) else [dx], strict=False)
        self.variables = [name for name in point if gradients.get(name) is not None]
        first = next(iter(self.inputs))
        if first not in self.variables and is_floating(point[first]):
            self.notes.append(f"{first} was not checked: backward gives no gradient for it")
        for name in self.variables:
            if not is_floating(point[name]):
                raise TypeError(f"{name} is {point[name].dtype}, which has no gradient: cast it first")
        return gradients

    def stacked_value(self, point: Point, name: str, stack: Array) -> Array:
        """Evaluate it for each of a stack of arrays in the place of one."""
        stacked = {key: stack if key == name else x[None, ...] for key, x in point.items()}
        with self._access.holding(self._params(stacked)) as layer:
            return layer.forward(*self._arguments(stacked))

    def dout_like(self, value: Array) -> Array | None:
        """Give the only dout that it can take, if so."""
        return None if self._takes_dout else super().dout_like(value)

    def stages(self, point: Point) -> dict[str, Stage | None]:
        """Give the parameters whose layers have `tangents`."""
        if not (self._access.binds and _has_tangents(self._access.layer)):
            return {}
        with self._access.holding(self._params(point)) as layer:
            x, *others = self._arguments(point)
            stage = Stage(layer, "", x, layer.forward(x, *others), _itself, _itself, is_last=True)
        return {name: stage._replace(attribute=name) for name in self._parameters}


class NetworkSubject(_WithParameters):
    """A network: `loss(*inputs)`, `gradient(*inputs)`, `params`. Its inputs are constants.

    Parameters
    ----------
    network : object
    inputs : sequence of array
    elsewhere : sequence of array
        Other inputs.
    gradient : callable or mapping, or None
        In the place of the network's own.
    """

    def __init__(
        self, network: Any, inputs: Sequence[Array], elsewhere: Sequence[Array], gradient: Any
    ) -> None:
        name, named = type(network).__name__, named_inputs(network.loss, inputs)
        super().__init__(name, named, elsewhere, ParameterAccess(network))
        if not self._parameters:
            raise TypeError(f"check_gradients wants a network with params, a mapping; {name} has none")
        self.variables = list(self._parameters)
        if not (gradient is None or callable(gradient) or isinstance(gradient, Mapping)):
            raise TypeError("gradient= of a network is a mapping from its parameters' names, or gives "
                            f"one; got {type_name(gradient)}")
        self._gradient = gradient
        self.fixed_gradient = isinstance(gradient, Mapping)

    def _value(self, point: Point) -> Array:
        with self._access.holding(self._params(point)) as network:
            value = one_array(self.name, network.loss(*self._arguments(point)), self.inputs)
        if value.ndim:
            raise ValueError(f"the loss of {self.name} is to be a scalar; got an array of shape "
                             f"{tuple(value.shape)}: a stack of networks is checked one by one")
        return value

    def _gradients(self, point: Point, dout: Array) -> dict[str, Any]:
        if self.fixed_gradient:
            return dict(self._gradient)
        with self._access.holding(self._params(point), self._last) as network:
            self._last = network
            self._go_elsewhere(network.loss, point)
            found = (self._gradient or network.gradient)(*self._arguments(point))
        if not isinstance(found, Mapping):
            raise TypeError(f"a mapping from the parameters' names is wanted; got {type_name(found)}")
        return dict(found)

    def stacked_value(self, point: Point, name: str, stack: Array) -> Array:
        """Evaluate it for each of a stack of arrays in the place of one."""
        # Only the network's bind can tell which of the other parameters want a stack axis, too.
        with self._access.holding(self._params(point)) as network:
            inputs = [x[None, ...] for x in self._arguments(point)]
            return network.bind({name: stack}).loss(*inputs)

    def stages(self, point: Point) -> dict[str, Stage | None]:
        """Give the parameters whose layers have `tangents`."""
        network = self._access.layer
        if not (self._access.binds and isinstance(getattr(network, "layers", None), Mapping)
                and hasattr(network, "last_layer")):
            return {}
        with self._access.holding(self._params(point)) as network:
            layers, last_layer = list(network.layers.values()), network.last_layer
            names = {id(p): name for name, p in network.params.items()}
        y, *labels = self._arguments(point)
        parameter = point[self._parameters[0]]
        y = array_namespace(y).astype(y, parameter.dtype, copy=False)
        found: dict[str, list[Stage]] = {}
        for k, layer in enumerate(layers):
            x, y = y, layer.forward(y)
            if _has_tangents(layer):
                rest = layers[k + 1:]
                stage = Stage(layer, "", x, y, partial(_run, rest, last_layer, labels),
                              partial(_run_stacked, network, k + 1, labels))
                for attribute, p in layer.params.items():
                    if id(p) in names:
                        found.setdefault(names[id(p)], []).append(stage._replace(attribute=attribute))
        return {name: stages[0] if len(stages) == 1 else None for name, stages in found.items()}


def _itself(y: Array) -> Array:
    return y


def _run(layers: Sequence[Any], last_layer: Any, labels: Sequence[Array], y: Array) -> Array:
    for layer in layers:
        y = layer.forward(y)
    return last_layer.forward(y, *labels)


def _run_stacked(network: Any, first: int, labels: Sequence[Array], y: Array) -> Array:
    stacked = network.bind({name: p[None, ...] for name, p in network.params.items()})
    return _run(list(stacked.layers.values())[first:], stacked.last_layer,
                [t[None, ...] for t in labels], y)


def _has_tangents(layer: Any) -> bool:
    return (callable(getattr(layer, "tangents", None))
            and isinstance(getattr(layer, "params", None), Mapping))
