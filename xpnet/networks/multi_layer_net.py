"""The book's network of any depth (chapter 6, `MultiLayerNetExtend`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from xpnet._numbers import fraction, not_negative, whole_number, whole_numbers
from xpnet.backend import Backend
from xpnet.functional._array import Array, array_namespace
from xpnet.initializers import Initializer, Seed
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
from xpnet.networks.network import Network

__all__ = ["ACTIVATIONS", "MultiLayerNet"]

ACTIVATIONS: Mapping[str, Callable[[], Layer]] = {
    "relu": Relu, "sigmoid": Sigmoid, "tanh": Tanh, "leaky_relu": LeakyRelu, "gelu": Gelu,
    "silu": Silu,
}


class MultiLayerNet(Network):
    """Affine layers with an activation behind each but the last, and SoftmaxWithLoss.

    Parameters
    ----------
    input_size : int
        Features of the input.
    hidden_size_list : sequence of int
        Neurons of the hidden layers.
    output_size : int
        Classes.
    activation : str
        "relu", "sigmoid", "tanh", "leaky_relu", "gelu" or "silu".
    weight_init_std : float or str
        Standard deviation of the initial weights, or "he" (the book's "relu"), "xavier" (its
        "sigmoid") or "glorot"; see `xpnet.initializers.weight_std`.
    weight_decay_lambda : float
        λ of the penalty `λ / 2 · Σ W²` in the loss (the book's chapter 6.4.2).
    use_dropout : bool
        Whether a Dropout follows each activation.
    dropout_ration : float
        The share it drops; spelled as in the book.
    use_batchnorm : bool
        Whether a BatchNormalization stands before each activation.
    seed : int, sequence of int, or None
        The same seed gives the same initial weights, and masks, on every library. A sequence makes a
        stack of networks, computed as one.
    backend : str or Backend
        Where the parameters live; see `xpnet.get_backend`.
    dtype : str or dtype, optional
        Of the parameters; by default the library's default real dtype.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size_list: Sequence[int],
        output_size: int,
        activation: str = "relu",
        weight_init_std: float | str = "relu",
        weight_decay_lambda: float = 0,
        use_dropout: bool = False,
        dropout_ration: float = 0.5,
        use_batchnorm: bool = False,
        *,
        seed: Seed = None,
        backend: str | Backend = "numpy",
        dtype: object = None,
    ) -> None:
        where = "MultiLayerNet"
        input_size = whole_number(where, "input_size", input_size)
        hidden_size_list = whole_numbers(where, "hidden_size_list", hidden_size_list)
        output_size = whole_number(where, "output_size", output_size)
        self.weight_decay_lambda = not_negative(where, "weight_decay_lambda", weight_decay_lambda)
        dropout_ration = fraction(where, "dropout_ration", dropout_ration)
        if not isinstance(activation, str) or activation not in ACTIVATIONS:
            raise ValueError(f"{where} wants activation to be one of "
                             f"{', '.join(ACTIVATIONS)}; got {activation!r}")
        draw = Initializer(weight_init_std, seed=seed, backend=backend, dtype=dtype)
        layers: list[Layer] = []
        size = input_size
        for hidden_size in hidden_size_list:
            layers.append(Affine(*draw.affine(size, hidden_size)))
            if use_batchnorm:
                layers.append(BatchNormalization(*draw.normalization(hidden_size)))
            layers.append(ACTIVATIONS[activation]())
            if use_dropout:
                layers.append(Dropout(dropout_ration, seed=0 if seed is None else seed))
            size = hidden_size
        layers.append(Affine(*draw.affine(size, output_size)))
        super().__init__(layers)
        self.arguments = {
            "input_size": input_size, "hidden_size_list": hidden_size_list,
            "output_size": output_size, "activation": activation,
            "weight_decay_lambda": self.weight_decay_lambda, "use_dropout": bool(use_dropout),
            "dropout_ration": dropout_ration, "use_batchnorm": bool(use_batchnorm),
        }

    def loss(self, x: Array, t: Array, train_flg: bool = True) -> Array:
        """Compute the loss and, if there is one, the penalty; see `Network.loss`."""
        return self._penalised(super().loss(x, t, train_flg))

    def loss_and_gradient(
        self, x: Array, t: Array, sample_weight: Array | None = None
    ) -> tuple[Array, dict[str, Array]]:
        """Compute the loss and its gradient, of the penalty too; see `Network.loss_and_gradient`."""
        loss, grads = super().loss_and_gradient(x, t, sample_weight)
        if self.weight_decay_lambda:
            for name, p in self._weights().items():
                grads[name] = grads[name] + self.weight_decay_lambda * p
        return self._penalised(loss), grads

    def _penalised(self, loss: Array) -> Array:
        if self.weight_decay_lambda:
            xp = array_namespace(loss)
            for W in self._weights().values():
                loss = loss + self.weight_decay_lambda / 2 * xp.sum(W * W, axis=(-2, -1))
        return loss

    def _weights(self) -> dict[str, Array]:
        return {name: p for name, p in self.params.items() if name.startswith("W")}
