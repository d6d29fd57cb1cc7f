"""The book's two-layer network (chapter 5.7.2)."""

from __future__ import annotations

from xpnet._numbers import whole_number
from xpnet.backend import Backend
from xpnet.initializers import Initializer, Seed
from xpnet.layers import Affine, Relu
from xpnet.networks.network import Network

__all__ = ["TwoLayerNet"]


class TwoLayerNet(Network):
    """The book's two-layer network: Affine, Relu, Affine, SoftmaxWithLoss.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        Features of the input, neurons of the hidden layer, classes.
    weight_init_std : float or str
        Standard deviation of the initial weights, or "he", "xavier" or "glorot"; see
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
        input_size = whole_number("TwoLayerNet", "input_size", input_size)
        hidden_size = whole_number("TwoLayerNet", "hidden_size", hidden_size)
        output_size = whole_number("TwoLayerNet", "output_size", output_size)
        draw = Initializer(weight_init_std, seed=seed, backend=backend, dtype=dtype)
        super().__init__([
            Affine(*draw.affine(input_size, hidden_size)),
            Relu(),
            Affine(*draw.affine(hidden_size, output_size)),
        ])
        self.arguments = {"input_size": input_size, "hidden_size": hidden_size,
                          "output_size": output_size}
