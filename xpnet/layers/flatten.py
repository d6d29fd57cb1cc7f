"""The layer between images and rows."""

from __future__ import annotations

import math

from xpnet.functional._array import Array, array_namespace, reshape
from xpnet.layers.layer import Layer

__all__ = ["Flatten"]


class Flatten(Layer):
    """The last axes as one: `(…, N, C, H, W)` as `(…, N, C * H * W)`.

    They are counted from the end, so that stacks need no word: what is in front stays.

    Parameters
    ----------
    ndim : int
        How many axes an element of the batch has; 3 for images.
    """

    def __init__(self, ndim: int = 3) -> None:
        super().__init__()
        if type(ndim) is not int or ndim < 1:
            raise ValueError(f"Flatten wants ndim to be an integer from 1; got {ndim!r}")
        self.ndim = ndim
        self.shape: tuple[int, ...] = ()

    def forward(self, x: Array) -> Array:
        """Join the last axes of `x` `(…, N, C, H, W)`: `(…, N, C * H * W)`."""
        self.check_input(x)
        if x.ndim <= self.ndim:
            raise ValueError(f"{self.name} wants x of shape (…, N, and {self.ndim} more); "
                             f"got {tuple(x.shape)}")
        self.shape = tuple(x.shape)
        return reshape(x, self._flat_shape())

    def backward(self, dout: Array) -> Array:
        """Give `dout` `(…, N, C * H * W)` the shape of the input."""
        if not self.shape:
            raise RuntimeError(f"{self.name}.backward wants a forward before it")
        self.check_dout(dout, self._flat_shape())
        return array_namespace(dout).reshape(dout, (*dout.shape[:-1], *self.shape[-self.ndim:]))

    def _flat_shape(self) -> tuple[int, ...]:
        return *self.shape[:-self.ndim], math.prod(self.shape[-self.ndim:])
