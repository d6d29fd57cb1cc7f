"""The book's Pooling layer (chapter 7.4.4), and others that shrink images."""

from __future__ import annotations

from xpnet.functional import (
    average_pooling,
    average_pooling_backward,
    global_average_pooling,
    global_average_pooling_backward,
    max_pooling,
    max_pooling_backward,
)
from xpnet.functional._array import Array
from xpnet.functional.pooling import check_global, check_pool, check_pooling
from xpnet.functional.windows import Pair
from xpnet.layers.layer import Function, Layer

__all__ = ["AveragePooling", "GlobalAveragePooling", "MaxPooling"]


class _OfImages(Layer):
    def __init__(self) -> None:
        super().__init__()
        self.x: Array = None

    def fast(self, function: Function) -> Function:
        """Give the function itself also for a stack of images, of which a layer alone does not know."""
        return super().fast(function) if self.x.ndim == 4 else function

    def _check_kept(self) -> None:
        if self.x is None:
            raise RuntimeError(f"{self.name}.backward wants a forward before it")


class _Pooling(_OfImages):
    """Windows that slide over images.

    Parameters
    ----------
    pool_h, pool_w : int
        Height and width of a window.
    stride, pad : int or pair of int
        Steps from one window to the next, and rows and columns on each side of the images, at most
        half a window; as a pair, (vertical, horizontal).
    """

    def __init__(self, pool_h: int, pool_w: int, stride: Pair = 2, pad: Pair = 0) -> None:
        super().__init__()
        self.size, self.stride, self.pad = check_pool(self.name, pool_h, pool_w, stride, pad)

    def _keep(self, x: Array) -> None:
        self.check_input(x)
        check_pooling(self.name, x, *self.size, self.stride, self.pad)
        self.x = x


class MaxPooling(_Pooling):
    """The largest element of each window: the book's Pooling.

    Parameters
    ----------
    pool_h, pool_w : int
        Height and width of a window.
    stride, pad : int or pair of int
        Steps from one window to the next, and rows and columns of -inf on each side of the images,
        at most half a window; as a pair, (vertical, horizontal).
    """

    def __init__(self, pool_h: int, pool_w: int, stride: Pair = 2, pad: Pair = 0) -> None:
        super().__init__(pool_h, pool_w, stride, pad)
        self.y: Array = None

    def forward(self, x: Array) -> Array:
        """Take the largest element of each window of `x` `(…, C, H, W)`: `(…, C, OH, OW)`.

        The backward uses this output, into which nothing must be written before.
        """
        self._keep(x)
        self.y = self.fast(max_pooling)(x, *self.size, stride=self.stride, pad=self.pad)
        return self.y

    def backward(self, dout: Array) -> Array:
        """Let `dout`, of the shape of the last output, through to the largest elements."""
        self._check_kept()
        return self.fast(max_pooling_backward)(
            dout, self.x, *self.size, stride=self.stride, pad=self.pad, y=self.y)


class AveragePooling(_Pooling):
    """The mean of each window.

    Parameters
    ----------
    pool_h, pool_w : int
        Height and width of a window.
    stride, pad : int or pair of int
        Steps from one window to the next, and rows and columns of zeros, which count, on each side
        of the images, at most half a window; as a pair, (vertical, horizontal).
    """

    def forward(self, x: Array) -> Array:
        """Take the mean of each window of `x` `(…, C, H, W)`: `(…, C, OH, OW)`."""
        self._keep(x)
        return self.fast(average_pooling)(x, *self.size, stride=self.stride, pad=self.pad)

    def backward(self, dout: Array) -> Array:
        """Share `dout`, of the shape of the last output, among the elements of the windows."""
        self._check_kept()
        return self.fast(average_pooling_backward)(
            dout, self.x, *self.size, stride=self.stride, pad=self.pad)


class GlobalAveragePooling(_OfImages):
    """The mean of each channel: images in, rows out."""

    def forward(self, x: Array) -> Array:
        """Take the mean of each channel of `x` `(…, C, H, W)`: `(…, C)`."""
        self.check_input(x)
        check_global(self.name, x)
        self.x = x
        return self.fast(global_average_pooling)(x)

    def backward(self, dout: Array) -> Array:
        """Share `dout`, of the shape of the last output, among the elements of the channels."""
        self._check_kept()
        return self.fast(global_average_pooling_backward)(dout, self.x)
