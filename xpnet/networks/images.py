"""What the convolutional networks share: layers for images of known size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xpnet.functional.windows import Windows
from xpnet.initializers import Initializer
from xpnet.layers import Affine, Convolution, MaxPooling

__all__ = ["ImageLayers"]

CONV_PARAM = {"filter_num", "filter_size", "pad", "stride"}


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
        if len(input_dim) != 3:
            raise ValueError("input_dim wants channels, height and width, as (1, 28, 28); "
                             f"got {tuple(input_dim)}")
        self.channels, self.height, self.width = input_dim
        self._draw = draw

    def convolution(self, conv_param: Mapping[str, int]) -> Convolution:
        """Make a Convolution from the book's `conv_param`."""
        if set(conv_param) != CONV_PARAM:
            raise ValueError(f"conv_param wants {', '.join(sorted(CONV_PARAM))}; "
                             f"got {', '.join(sorted(conv_param)) or 'nothing'}")
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
