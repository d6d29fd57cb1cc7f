"""Networks: layers in a row, a loss behind them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Self

from xpnet import metrics
from xpnet.backend import Backend, get_backend
from xpnet.functional._array import Array, array_namespace
from xpnet.initializers import Seed, affine_parameters
from xpnet.layers import Affine, Layer, Parameters, Relu
from xpnet.layers.parameters import align_stacks
from xpnet.losses import SoftmaxWithLoss
from xpnet.stacked_gradient import stacked_numerical_gradient

__all__ = ["Network", "TwoLayerNet"]


class Network:
    """Layers in a row and a loss behind them, whose parameters are named as in the book.

    Parameters
    ----------
    layers : mapping
        The layers by name, in order; they take these names. What follows the name of the class is
        the number of the layer's parameters: those of "Affine1" are "W1" and "b1".
    last_layer : SoftmaxWithLoss
        The loss.
    """

    def __init__(self, layers: Mapping[str, Layer], last_layer: SoftmaxWithLoss) -> None:
        self.layers = dict(layers)
        self.last_layer = last_layer
        self._owners: dict[str, tuple[str, str]] = {}
        for layer_name, layer in self.layers.items():
            layer.name = layer_name
            number = layer_name.removeprefix(type(layer).__name__)
            for attribute in layer.param_ndims:
                name = f"{attribute}{number}"
                if name in self._owners:
                    raise ValueError(f'{layer_name} and {self._owners[name][0]} would both have '
                                     f'the parameter "{name}"')
                self._owners[name] = layer_name, attribute

    @property
    def params(self) -> Parameters:
        """The live view of the layers' parameters: `params["W1"] -= step` trains everywhere."""
        return Parameters({
            name: (self.layers[layer], attribute)
            for name, (layer, attribute) in self._owners.items()
        })

    def bind(self, params: Mapping[str, Array]) -> Self:
        """Give a shallow copy of the network that holds these parameters instead.

        That makes a training step a pure function of a plain dictionary of arrays, which can be
        traced and compiled; and a network with a stack of parameters computes for all of them at
        once. Only pure updates may follow: `params[name] -= step` on the copy would change, on
        mutable arrays, what was given here.

        Parameters
        ----------
        params : mapping
            Some or all parameters, by name, of the shapes of the network's own. With a stack axis
            in front of any, the others get one of length 1.
        """
        aligned = align_stacks(self.params, params, self._param_ndims())
        of_layer: dict[str, dict[str, Array]] = {name: {} for name in self.layers}
        for name, (layer, attribute) in self._owners.items():
            of_layer[layer][attribute] = aligned[name]
        bound = copy.copy(self)
        bound.layers = {name: layer.bind(of_layer[name]) for name, layer in self.layers.items()}
        bound.last_layer = self.last_layer.bind()
        return bound

    def predict(self, x: Array) -> Array:
        """Compute the scores of the classes.

        Parameters
        ----------
        x : array
            A batch, `(N, D)` or `(N, …)` with D features; for a stack of networks `(N, D)`, or with
            the stack's axes in front, a batch for each. Cast to the parameters' dtype if it has
            another.

        Returns
        -------
        array
            Scores, before softmax, `(N, C)`, or `(…, N, C)` from a stack.
        """
        reference = next(iter(self.params.values()), x)
        xp = array_namespace(x, reference)
        if x.dtype != reference.dtype:
            x = xp.astype(x, reference.dtype)
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x: Array, t: Array) -> Array:
        """Compute the loss, 0-dimensional, or `(…)`, one a network.

        Parameters
        ----------
        x : array
            As for `predict`.
        t : array
            Class numbers `(N,)` of any integer dtype, or one-hot rows `(N, C)`.
        """
        return self.last_layer.forward(self.predict(x), t)

    def accuracy(self, x: Array, t: Array) -> Array:
        """Compute the share of rows that are classified rightly, 0-dimensional or `(…)`."""
        return metrics.accuracy(self.predict(x), t)

    def loss_and_gradient(self, x: Array, t: Array) -> tuple[Array, dict[str, Array]]:
        """Compute the loss and, by backpropagation, its gradient, in one forward pass."""
        loss = self.loss(x, t)
        dout = self.last_layer.backward()
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        return loss, {
            name: self.layers[layer].grads[attribute]
            for name, (layer, attribute) in self._owners.items()
        }

    def gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """Compute the gradient of the loss by backpropagation, by the parameters' names."""
        return self.loss_and_gradient(x, t)[1]

    def numerical_gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """Compute the gradient of the loss by central differences, by the parameters' names.

        Many perturbed networks are evaluated at once, as a stack.
        """
        ndims = self._param_ndims()
        x, t = x[None, ...], t[None, ...]  # the stack's axis: what is one-hot or an image stays so
        return {
            name: stacked_numerical_gradient(
                lambda stack, name=name: self.bind({name: stack}).loss(x, t),  # type: ignore[misc]
                p, stack_axes=p.ndim - ndims[name],
            )
            for name, p in self.params.items()
        }

    def _param_ndims(self) -> dict[str, int]:
        return {
            name: self.layers[layer].param_ndims[attribute]
            for name, (layer, attribute) in self._owners.items()
        }


class TwoLayerNet(Network):
    """The book's two-layer network (chapter 5.7.2): Affine, Relu, Affine, SoftmaxWithLoss.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        Features of the input, neurons of the hidden layer, classes.
    weight_init_std : float or str
        Standard deviation of the initial weights, or "he" or "xavier"; see
        `xpnet.initializers.weight_std`.
    seed : int, sequence of int, or None
        The same seed gives the same initial weights on every library. A sequence makes a stack of
        networks, computed as one: parameters get a first axis, and so do scores and losses.
    backend : str or Backend
        Where the parameters live; see `xpnet.get_backend`.
    dtype : str or dtype, optional
        Of the parameters; by default the library's default real dtype.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        weight_init_std: float | str = 0.01,
        *,
        seed: Seed = None,
        backend: str | Backend = "numpy",
        dtype: object = None,
    ) -> None:
        backend = get_backend(backend)
        dtype = backend.default_dtype if dtype is None else dtype
        sizes = (input_size, hidden_size, output_size)
        p = {
            name: backend.asarray(values, dtype=dtype)
            for name, values in affine_parameters(sizes, weight_init_std, seed).items()
        }
        super().__init__(
            {
                "Affine1": Affine(p["W1"], p["b1"]),
                "Relu1": Relu(),
                "Affine2": Affine(p["W2"], p["b2"]),
            },
            SoftmaxWithLoss(),
        )
