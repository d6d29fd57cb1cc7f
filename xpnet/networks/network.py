"""Networks: layers in a row, a loss behind them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from xpnet import metrics
from xpnet.functional._array import Array, array_namespace
from xpnet.layers import Layer, Sequential
from xpnet.layers.affine_chain import with_chains, without_chains
from xpnet.losses import Loss, SoftmaxWithLoss
from xpnet.stacked_gradient import stacked_numerical_gradient

__all__ = ["Network"]


class Network(Sequential):
    """Layers in a row and a loss behind them, whose parameters are numbered through, as in the book.

    Parameters
    ----------
    layers : sequence or mapping
        The layers, in order; in a mapping, with names for messages.
    last_layer : Loss, optional
        The loss; by default `SoftmaxWithLoss()`.

    Attributes
    ----------
    arguments : dict
        What made the network, for files to say, where its class is of this package.
    """

    arguments: dict[str, Any]
    _compute: Callable[..., tuple[Array, dict[str, Array]]] | None = None

    def __init__(
        self, layers: Sequence[Layer] | Mapping[str, Layer], last_layer: Loss | None = None
    ) -> None:
        if not isinstance(last_layer, Loss | None):
            raise TypeError(f"{type(self).__name__} wants a Loss for last_layer, an instance as "
                            f"SoftmaxWithLoss(); got {last_layer!r}")
        super().__init__(layers)
        self.last_layer = SoftmaxWithLoss() if last_layer is None else last_layer
        self.arguments = {}

    def __repr__(self) -> str:
        """Show each layer on a line, with the shapes of its parameters."""
        lines = [type(self).__name__]
        owners = self._owners(self._param_places)
        for leaf in self.leaves():
            shapes = [f"{name} {tuple(getattr(leaf, attribute).shape)}"
                      for name, (owner, attribute) in owners.items() if owner is leaf]
            lines.append(": ".join(filter(None, [leaf.name, ", ".join(shapes)])))
        return "\n  ".join([*lines, type(self.last_layer).__name__])

    def bind(
        self,
        params: Mapping[str, Array],
        state: Mapping[str, Array] | None = None,
        counter: Array | None = None,
    ) -> Self:
        """Give a copy that holds these parameters instead; see `Sequential.bind`."""
        bound = super().bind(params, state, counter)
        bound.last_layer = self.last_layer.bind()
        return bound

    def with_kernels(self, kernels: Mapping[str, Callable[..., Any]]) -> Self:
        """Give a copy that computes with these functions; see `Sequential.with_kernels`.

        With "affine_chain" among them, Affine layers with Relus between them become one layer, but for those
        within a layer made of layers.
        """
        fast = super().with_kernels(kernels)
        fast.layers = without_chains(fast.layers)
        if "affine_chain" in kernels:
            fast.layers = with_chains(fast.layers, kernels)
        fast.last_layer = self.last_layer.with_kernels(kernels)
        return fast

    def with_gradient(self, compute: Callable[..., tuple[Array, dict[str, Array]]]) -> Self:
        """Give a copy for whose loss and gradient a function is asked.

        Parameters
        ----------
        compute : callable
            Takes the network and what `loss_and_gradient` takes, and gives what that gives. What a
            subclass adds to it is still added.
        """
        other = copy.copy(self)
        other._compute = compute
        return other

    def is_recordable(self) -> bool:
        """Tell whether it, its layers and its loss are `recordable`."""
        return super().is_recordable() and self.last_layer.recordable

    def member(self, k: int) -> Self:
        """Give one of a stack's networks, as an ordinary one; see `Sequential.member`."""
        one = super().member(k)
        one.last_layer = copy.copy(self.last_layer)
        return one

    def predict(self, x: Array, train_flg: bool = False) -> Array:
        """Compute the scores.

        Parameters
        ----------
        x : array
            A batch, `(N, D)` or `(N, …)` with D features, or images `(N, C, H, W)`, as the first
            layer wants it; for a stack of networks the same, or with the stack's axes in front, a
            batch for each. Cast to the parameters' dtype if it has another.
        train_flg : bool
            Whether as in training: with dropout, and with the statistics of the batch. By default
            as for use: without, and with the running statistics.

        Returns
        -------
        array
            Scores, before softmax, `(N, C)`, or `(…, N, C)` from a stack.
        """
        if not hasattr(x, "dtype"):
            raise TypeError(f"{self.name} wants x to be an array; got {x!r:.60}")
        reference = next(iter(self.params.values()), x)
        xp = array_namespace(x, reference)
        if x.dtype != reference.dtype:
            x = xp.astype(x, reference.dtype)
        return self.forward(x, train_flg)

    def mean_prediction(self, x: Array) -> tuple[Array, Array]:
        """Average what the networks of a stack predict.

        Parameters
        ----------
        x : array
            As for `predict`.

        Returns
        -------
        mean, spread : array
            Mean and standard deviation, over the stack, of the predictions `(N, C)`: of a classifier,
            its probabilities.
        """
        if not self.stack_axes:
            raise ValueError(f"{self.name} is no stack, over which predictions could be averaged")
        y = self.last_layer.predictions(self.predict(x))
        xp, axes = array_namespace(y), tuple(range(self.stack_axes))
        return xp.mean(y, axis=axes), xp.std(y, axis=axes)

    def loss(self, x: Array, t: Array, train_flg: bool = True) -> Array:
        """Compute the loss, 0-dimensional, or `(…)`, one a network.

        Parameters
        ----------
        x : array
            As for `predict`.
        t : array
            What the loss wants: for `SoftmaxWithLoss` class numbers `(N,)` of any integer dtype, or
            one-hot rows `(N, C)`.
        train_flg : bool
            Whether as in training, which is what `gradient` is the gradient of.
        """
        return self.last_layer.forward(self.predict(x, train_flg), t)

    def accuracy(self, x: Array, t: Array) -> Array:
        """Compute the share of rows that are classified rightly, 0-dimensional or `(…)`."""
        return metrics.accuracy(self.predict(x), t)

    def loss_and_gradient(
        self, x: Array, t: Array, sample_weight: Array | None = None
    ) -> tuple[Array, dict[str, Array]]:
        """Compute the loss and, by backpropagation, its gradient, in one forward pass.

        Parameters
        ----------
        x, t : array
            As for `loss`.
        sample_weight : array, optional
            How much each row counts, `(N,)`.
        """
        if self._compute is not None:
            return self._compute(self, x, t, sample_weight)
        loss = self.last_layer.forward(self.predict(x, train_flg=True), t, sample_weight)
        self.backward_params(self.last_layer.backward())
        return loss, self.grads

    def gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """Compute the gradient of the loss by backpropagation, by the parameters' names."""
        return self.loss_and_gradient(x, t)[1]

    def numerical_gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """Compute the gradient of the loss by central differences, by the parameters' names.

        Many perturbed networks are evaluated at once, as a stack.
        """
        ndims = self.param_ndims
        x, t = x[None, ...], t[None, ...]  # the stack's axis: what is one-hot or an image stays so
        return {
            name: stacked_numerical_gradient(
                lambda stack, name=name: self.bind({name: stack}).loss(x, t),  # type: ignore[misc]
                p, stack_axes=p.ndim - ndims[name],
            )
            for name, p in self.params.items()
        }
