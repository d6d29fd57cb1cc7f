"""The book's deep convolutional network (chapter 8.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xpnet._numbers import whole_number
from xpnet.backend import Backend
from xpnet.initializers import Initializer, Seed
from xpnet.layers import Dropout, Layer, Relu
from xpnet.networks.images import ImageLayers, checked_conv_param, checked_input_dim
from xpnet.networks.network import Network

__all__ = ["DeepConvNet"]


def _conv_param(filter_num: int, pad: int = 1) -> Mapping[str, int]:
    return {"filter_num": filter_num, "filter_size": 3, "pad": pad, "stride": 1}


class DeepConvNet(Network):
    """Three times two convolutions and a pooling, and two Affine layers with dropout (figure 8-1).

    The weights are drawn with He's standard deviation.

    Parameters
    ----------
    input_dim : sequence of int
        Channels, height and width of an image.
    conv_param_1, conv_param_2, conv_param_3, conv_param_4, conv_param_5, conv_param_6 : mapping
        Of the convolutions: "filter_num", "filter_size", "pad" and "stride".
    hidden_size, output_size : int
        Neurons of the hidden layer, classes.
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
        input_dim: Sequence[int] = (1, 28, 28),
        conv_param_1: Mapping[str, int] = _conv_param(16),
        conv_param_2: Mapping[str, int] = _conv_param(16),
        conv_param_3: Mapping[str, int] = _conv_param(32),
        conv_param_4: Mapping[str, int] = _conv_param(32, pad=2),
        conv_param_5: Mapping[str, int] = _conv_param(64),
        conv_param_6: Mapping[str, int] = _conv_param(64),
        hidden_size: int = 50,
        output_size: int = 10,
        *,
        seed: Seed = None,
        backend: str | Backend = "numpy",
        dtype: object = None,
    ) -> None:
        input_dim = checked_input_dim("DeepConvNet", input_dim)
        conv_params = {
            f"conv_param_{k}": checked_conv_param("DeepConvNet", f"conv_param_{k}", conv_param)
            for k, conv_param in enumerate((conv_param_1, conv_param_2, conv_param_3,
                                            conv_param_4, conv_param_5, conv_param_6), start=1)
        }
        hidden_size = whole_number("DeepConvNet", "hidden_size", hidden_size)
        output_size = whole_number("DeepConvNet", "output_size", output_size)
        make = ImageLayers(input_dim, Initializer("he", seed=seed, backend=backend, dtype=dtype))
        dropout_seed = 0 if seed is None else seed
        layers: list[Layer] = []
        for k, conv_param in enumerate(conv_params.values(), start=1):
            layers += [make.convolution(conv_param), Relu()]
            if k % 2 == 0:
                layers.append(make.max_pooling())
        layers += [
            make.affine(hidden_size),
            Relu(),
            Dropout(0.5, seed=dropout_seed),
            make.affine(output_size),
            Dropout(0.5, seed=dropout_seed),
        ]
        super().__init__(layers)
        self.arguments = {
            "input_dim": input_dim, **conv_params,
            "hidden_size": hidden_size, "output_size": output_size,
        }
