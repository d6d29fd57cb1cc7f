"""The book's Dropout layer (chapter 6.4.3)."""

from __future__ import annotations

import math

from xpnet._numbers import fraction
from xpnet.functional import dropout, dropout_backward, dropout_mask
from xpnet.functional._array import Array, check_dout, check_floating
from xpnet.layers.random_layer import RandomLayer, Seeds
from xpnet.layers.stacks import own_ndim

__all__ = ["Dropout"]


class Dropout(RandomLayer):
    """In training, zeroes each element with a probability; at inference, scales all to match.

    Parameters
    ----------
    dropout_ratio : float
        The probability, from 0 to below 1.
    seed : int or sequence of int
        The same seed gives the same masks. A sequence has one for each network of a stack, whose
        masks are those that each would draw alone; for one seed, the networks share the mask.

    Attributes
    ----------
    mask : array
        Of the last forward, if it was one in training: 1 where an element is kept, else 0.
    """

    def __init__(self, dropout_ratio: float = 0.5, *, seed: Seeds = 0) -> None:
        super().__init__(seed)
        self.dropout_ratio = fraction(self.name, "dropout_ratio", dropout_ratio)
        self.x: Array = None
        self.mask: Array = None
        self._y_shape: tuple[int, ...] = ()

    def forward(self, x: Array, train_flg: bool = True) -> Array:
        """Compute `x * mask`, or `x * (1 - dropout_ratio)` at inference.

        Parameters
        ----------
        x : array
            A batch, `(N, …)`. To a stack, with all of the stack's axes in front; or `(N, D)`, images
            `(N, C, H, W)`, or one axis, for all of its networks. (Of one stack axis, four in all are
            images.)
        train_flg : bool
            Whether this is training.

        Returns
        -------
        array
            Of the shape of `x`; with a seed for each network of a stack, with its axes in front.
        """
        self.check_input(x)
        check_floating(self.name, x)
        self.x = x
        if not train_flg:
            self.mask, self._y_shape = None, tuple(x.shape)
            return x * (1 - self.dropout_ratio)
        counter = self.next_counter(x)
        stack_axes = max(self.stack_axes, counter.ndim - 1)
        own = own_ndim(x.ndim, stack_axes) or (
            x.ndim - stack_axes if x.ndim >= stack_axes + 2 else x.ndim)
        shape = tuple(x.shape[x.ndim - own:])
        self.mask = self.fast(dropout_mask)(
            counter, self.stream, shape, self.dropout_ratio, x.dtype,
            first=self.first_row * math.prod(shape[1:]))
        y = self.fast(dropout)(x, self.mask)
        self._y_shape = tuple(y.shape)
        return y

    def backward(self, dout: Array) -> Array:
        """Let the gradient through where the last forward did, as much as it did.

        Parameters
        ----------
        dout : array
            Gradient with respect to the last output, of its shape.
        """
        if self.x is None:
            raise RuntimeError(f"{self.name}.backward wants a forward before it")
        self.check_dout(dout, self._y_shape)
        if self.mask is None:
            check_dout(self.name, dout, self.x)
            return dout * (1 - self.dropout_ratio)
        return self.fast(dropout_backward)(dout, self.x, self.mask)
