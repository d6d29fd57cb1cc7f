"""The network of an estimator: scikit-learn's first weights, layers, and the penalty in its loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.functional._array import Array, array_namespace
from xpnet.layers import (
    Affine,
    BatchNormalization,
    Dropout,
    Gelu,
    Layer,
    LeakyRelu,
    Relu,
    Sigmoid,
    Silu,
    Tanh,
)
from xpnet.losses import Loss, MeanSquaredError, SigmoidWithLoss, SoftmaxWithLoss
from xpnet.networks import Network
from xpnet.sklearn._poisson import PoissonWithLoss

__all__ = ["ACTIVATIONS", "LOSSES", "PenalisedNetwork", "build", "first_parameters"]

ACTIVATIONS: Mapping[str, Callable[[], Layer] | None] = {
    "identity": None, "logistic": Sigmoid, "tanh": Tanh, "relu": Relu, "leaky_relu": LeakyRelu, "gelu": Gelu,
    "silu": Silu,
}
LOSSES: Mapping[str, Callable[[], Loss]] = {
    "softmax": SoftmaxWithLoss, "logistic": SigmoidWithLoss, "identity": MeanSquaredError,
    "exp": PoissonWithLoss,
}
"""The loss by what scikit-learn calls the output's activation."""


class PenalisedNetwork(Network):
    """A network with scikit-learn's loss: `scale * loss + alpha / 2 / rows * Σ W²`.

    The penalty is divided by the number of the batch's rows, or the sum of their weights. (That of
    `MultiLayerNet` is not.)

    Parameters
    ----------
    layers, last_layer
        See `Network`.
    alpha : float
        The strength of the penalty.
    scale : float
        What makes the loss the sum over the outputs of that of each: half the squared error, or the
        cross-entropy.
    shown : float, optional
        What `loss_and_gradient` gives in the place of `scale` times the loss, beside the gradient of that:
        of several numbers scikit-learn shows the mean.
    arguments : dict
        What made the network, for files to say.
    """

    def __init__(self, layers: Sequence[Layer], last_layer: Loss, *, alpha: float, scale: float,
                 shown: float | None, arguments: dict[str, Any]) -> None:
        super().__init__(layers, last_layer)
        self.alpha, self.scale, self.arguments = alpha, scale, arguments
        self.shown = scale if shown is None else shown

    def loss(self, x: Array, t: Array, train_flg: bool = True) -> Array:
        """Compute the loss, with the penalty; see `Network.loss`."""
        return self._penalised(self.scale * super().loss(x, t, train_flg), 1 / max(x.shape[-2], 1))

    def loss_and_gradient(
        self, x: Array, t: Array, sample_weight: Array | None = None
    ) -> tuple[Array, dict[str, Array]]:
        """Compute the loss and its gradient, with the penalty; see `Network.loss_and_gradient`."""
        loss = self.last_layer.forward(self.predict(x, train_flg=True), t, sample_weight)
        self.backward_params(self.last_layer.backward(self.scale))
        grads = self.grads
        share: Any = 1 / max(x.shape[-2], 1)
        if sample_weight is not None:
            xp = array_namespace(sample_weight)
            total = xp.sum(sample_weight)
            share = xp.astype(1 / xp.where(total == 0, float("inf"), total), loss.dtype, copy=False)
        if self.alpha:
            for name, W in self._weights().items():
                grads[name] = grads[name] + (self.alpha * share) * W
        return self._penalised(self.shown * loss, share), grads

    def _penalised(self, loss: Array, share: Any) -> Array:
        if self.alpha:
            xp = array_namespace(loss)
            for W in self._weights().values():
                w = xp.reshape(W, (-1,))
                loss = loss + self.alpha / 2 * share * xp.vecdot(w, w)
        return loss

    def _weights(self) -> dict[str, Array]:
        return {name: p for name, p in self.params.items() if name.startswith("W")}


def first_parameters(
    sizes: Sequence[int], activation: str, batch_norm: bool, random_state: np.random.RandomState
) -> dict[str, NDArray[np.float64]]:
    """Draw the first parameters as scikit-learn does (Glorot & Bengio 2010, equation 16).

    Parameters
    ----------
    sizes : sequence of int
        Features, neurons of the hidden layers, outputs.
    activation : str
        Of the hidden layers.
    batch_norm : bool
        Whether they have a BatchNormalization.
    random_state : RandomState
        What draws: a layer's weights, then its biases.
    """
    params: dict[str, NDArray[np.float64]] = {}
    for k, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
        bound = np.sqrt((2.0 if activation == "logistic" else 6.0) / (inputs + outputs))
        params[f"W{k}"] = random_state.uniform(-bound, bound, (inputs, outputs))
        params[f"b{k}"] = random_state.uniform(-bound, bound, outputs)
        if batch_norm and k < len(sizes) - 1:
            params[f"gamma{k}"], params[f"beta{k}"] = np.ones(outputs), np.zeros(outputs)
    return params


def build(
    params: Mapping[str, Array], state: Mapping[str, Array], *, activation: str, dropout: float,
    out_activation: str, alpha: float, solver: str,
) -> PenalisedNetwork:
    """Build a network that holds these arrays.

    Parameters
    ----------
    params, state : mapping
        Of the names that the network gives them: W1, b1, gamma1, … and the running averages, if there
        are any yet.
    activation : str
        Of the hidden layers.
    dropout : float
        The share of their outputs to drop.
    out_activation : str
        "softmax", "logistic", "identity" or "exp", which says the loss.
    alpha : float
        The strength of the penalty.
    solver : str
        What it is for: "lbfgs" wants the loss of which it is given the gradient.
    """
    layers: list[Layer] = []
    depth = sum(name.startswith("W") for name in params)
    for k in range(1, depth + 1):
        layers.append(Affine(params[f"W{k}"], params[f"b{k}"]))
        if k == depth:
            break
        if f"gamma{k}" in params:
            layers.append(BatchNormalization(
                params[f"gamma{k}"], params[f"beta{k}"], running_mean=state.get(f"running_mean{k}"),
                running_var=state.get(f"running_var{k}")))
        make = ACTIVATIONS[activation]
        if make is not None:
            layers.append(make())
        if dropout:
            layers.append(Dropout(dropout))
    # xpnet's losses average over the outputs, but for softmax, which has one answer.
    outputs = params[f"b{depth}"].shape[0]
    scale = {"softmax": 1.0, "logistic": 1.0 * outputs, "identity": outputs / 2, "exp": 1.0 * outputs}
    arguments = {"activation": activation, "dropout": dropout, "out_activation": out_activation, "alpha": alpha,
                 "solver": solver}
    return PenalisedNetwork(
        layers, LOSSES[out_activation](), alpha=alpha, scale=scale[out_activation],
        shown=0.5 if out_activation == "identity" and solver != "lbfgs" else None, arguments=arguments)
