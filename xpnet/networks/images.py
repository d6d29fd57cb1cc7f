"""What the convolutional networks share: layers for images of known size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xpnet._numbers import whole_number, whole_numbers
from xpnet.functional.windows import Windows
from xpnet.initializers import Initializer
from xpnet.layers import Affine, Convolution, MaxPooling

__all__ = ["ImageLayers", "checked_conv_param", "checked_input_dim"]

LEAST = {"filter_num": 1, "filter_size": 1, "pad": 0, "stride": 1}
"""The keys of the book's `conv_param`, with the least number of each."""


def checked_input_dim(where: str, input_dim: Sequence[int]) -> list[int]:
    """Give channels, height and width as a list of int."""
    try:
        channels, height, width = whole_numbers(where, "input_dim", input_dim)
    except ValueError:
        raise ValueError(f"{where} wants input_dim to be channels, height and width, as (1, 28, 28); "
                         f"got {input_dim!r:.60}") from None
    return [channels, height, width]


def checked_conv_param(where: str, name: str, conv_param: Mapping[str, int]) -> dict[str, int]:
    """Give the book's `conv_param` as a dictionary of int."""
    if not isinstance(conv_param, Mapping) or conv_param.keys() != LEAST.keys():
        raise ValueError(f"{where} wants {name} to be a mapping of {', '.join(LEAST)}; "
                         f"got {conv_param!r:.100}")
    return {key: whole_number(where, f'"{key}" of {name}', conv_param[key], least)
            for key, least in LEAST.items()}


class ImageLayers:
    """Makes layer after layer, and keeps account of the size of what comes out.

    Parameters
    ----------
    input_dim : sequence of int
        Channels, height and width of an image.
    draw : Initializer
        Draws the parameters.
    """

    def __init__(self, input_dim: Sequence[int], draw: Initializer) -> None:
        self.channels, self.height, self.width = input_dim
        self._draw = draw

    def convolution(self, conv_param: Mapping[str, int]) -> Convolution:
        """Make a Convolution from the book's `conv_param`."""
        filters, size = conv_param["filter_num"], conv_param["filter_size"]
        stride, pad = conv_param["stride"], conv_param["pad"]
        layer = Convolution(*self._draw.convolution(filters, self.channels, size, size), stride, pad)
        self.channels = filters
        self._slide(size, stride, pad)
        return layer

    def max_pooling(self) -> MaxPooling:
        """Make a MaxPooling of windows of 2×2."""
        self._slide(2, 2, 0)
        return MaxPooling(2, 2, stride=2)

    def affine(self, output_size: int) -> Affine:
        """Make an Affine that takes all that comes in."""
        layer = Affine(*self._draw.affine(self.channels * self.height * self.width, output_size))
        self.channels, self.height, self.width = output_size, 1, 1
        return layer

    def _slide(self, window: int, stride: int, pad: int) -> None:
        image = self.height, self.width
        windows = Windows(image, (window, window), (stride, stride), (pad, pad))
        self.height, self.width = windows.output
        if min(windows.output) < 1:
            raise ValueError(f"windows of {window}x{window} are larger than the images that come "
                             f"there, {image[0]}x{image[1]} and {pad} of padding")
