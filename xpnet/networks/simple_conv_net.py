"""The book's simple convolutional network (chapter 7.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xpnet._numbers import whole_number
from xpnet.backend import Backend
from xpnet.initializers import Initializer, Seed
from xpnet.layers import Relu
from xpnet.networks.images import ImageLayers, checked_conv_param, checked_input_dim
from xpnet.networks.network import Network

__all__ = ["SimpleConvNet"]

CONV_PARAM = {"filter_num": 30, "filter_size": 5, "pad": 0, "stride": 1}


class SimpleConvNet(Network):
    """Convolution, Relu, MaxPooling, Affine, Relu, Affine, SoftmaxWithLoss.

    Parameters
    ----------
    input_dim : sequence of int
        Channels, height and width of an image.
    conv_param : mapping
        Of the convolution: "filter_num", "filter_size", "pad" and "stride".
    hidden_size, output_size : int
        Neurons of the hidden layer, classes.
    weight_init_std : float or str
        Standard deviation of the initial weights, or "he", "xavier" or "glorot"; see
        `xpnet.initializers.weight_std`.
    seed : int, sequence of int, or None
        The same seed gives the same initial weights on every library. A sequence makes a stack of
        networks, computed as one.
    backend : str or Backend
        Where the parameters live; see `xpnet.get_backend`.
    dtype : str or dtype, optional
        Of the parameters; by default the library's default real dtype.
    """

    def __init__(
        self,
        input_dim: Sequence[int] = (1, 28, 28),
        conv_param: Mapping[str, int] = CONV_PARAM,
        hidden_size: int = 100,
        output_size: int = 10,
        weight_init_std: float | str = 0.01,
        *,
        seed: Seed = None,
        backend: str | Backend = "numpy",
        dtype: object = None,
    ) -> None:
        input_dim = checked_input_dim("SimpleConvNet", input_dim)
        conv_param = checked_conv_param("SimpleConvNet", "conv_param", conv_param)
        hidden_size = whole_number("SimpleConvNet", "hidden_size", hidden_size)
        output_size = whole_number("SimpleConvNet", "output_size", output_size)
        make = ImageLayers(
            input_dim, Initializer(weight_init_std, seed=seed, backend=backend, dtype=dtype)
        )
        super().__init__([
            make.convolution(conv_param),
            Relu(),
            make.max_pooling(),
            make.affine(hidden_size),
            Relu(),
            make.affine(output_size),
        ])
        self.arguments = {"input_dim": input_dim, "conv_param": conv_param,
                          "hidden_size": hidden_size, "output_size": output_size}
