"""A residual block (He et al. 2016, "Deep Residual Learning for Image Recognition")."""

from __future__ import annotations

from collections.abc import Sequence

from xpnet.functional._array import Array, unbroadcast
from xpnet.layers.composite import Composite, run_forward
from xpnet.layers.layer import Layer
from xpnet.layers.sequential import Sequential

__all__ = ["Residual"]


class Residual(Composite):
    """`body(x) + x`, or `body(x) + shortcut(x)` (He et al. 2016, equations 1 and 2).

    Parameters
    ----------
    body : layer or sequence of layers
        What is added to the input.
    shortcut : layer, optional
        What the input goes through where the body gives another shape, as a 1×1 convolution; by
        default it is added as it is.
    """

    def __init__(self, body: Layer | Sequence[Layer], shortcut: Layer | None = None) -> None:
        body = Sequential([body] if isinstance(body, Layer) else body)
        super().__init__({"body": body} if shortcut is None else
                         {"body": body, "shortcut": shortcut})
        self._x_shape: tuple[int, ...] | None = None

    def forward(self, x: Array, train_flg: bool = True) -> Array:
        """Compute the sum.

        Parameters
        ----------
        x : array
            As the body wants it.
        train_flg : bool
            Whether for training, or for inference.
        """
        y = run_forward(self.layers["body"], x, train_flg)
        shortcut = self.layers.get("shortcut")
        past = x if shortcut is None else run_forward(shortcut, x, train_flg)
        of_both = [a.shape[self.stack_axes if a.ndim == max(y.ndim, past.ndim) else 0:]
                   for a in (y, past)]
        if tuple(of_both[0]) != tuple(of_both[1]):
            raise ValueError(f"{self.name} wants body and shortcut to give one shape; got "
                             f"{tuple(y.shape)} and {tuple(past.shape)}")
        self._x_shape = tuple(x.shape)
        return y + past

    def backward(self, dout: Array) -> Array:
        """Go backward on both ways; give the sum of their gradients."""
        if self._x_shape is None:
            raise RuntimeError(f"{self.name}.backward wants a forward before it")
        dx = self.layers["body"].backward(dout)
        shortcut = self.layers.get("shortcut")
        if shortcut is not None:
            return dx + shortcut.backward(dout)
        return dx + unbroadcast(dout, dout.shape[dout.ndim - len(self._x_shape):])
