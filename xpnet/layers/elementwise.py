"""What the activation layers share."""

from __future__ import annotations

from abc import abstractmethod

from xpnet.functional._array import Array
from xpnet.layers.layer import Layer

__all__ = ["Elementwise"]


class Elementwise(Layer):
    """A function of each element by itself, on inputs of any shape, without parameters.

    A subclass computes it in `_apply`, and its gradient in `_chain`, from `self.x`, the last input.
    """

    def __init__(self) -> None:
        super().__init__()
        self.x: Array = None

    def forward(self, x: Array) -> Array:
        """Compute the function of each element."""
        self.check_input(x)
        y = self._apply(x)
        self.x = x
        return y

    def backward(self, dout: Array) -> Array:
        """Turn `dout`, of the shape of the last output, into the gradient with respect to `x`."""
        if self.x is None:
            raise RuntimeError(f"{self.name}.backward wants a forward before it")
        self.check_dout(dout, self.x.shape)
        return self._chain(dout)

    @abstractmethod
    def _apply(self, x: Array) -> Array: ...

    @abstractmethod
    def _chain(self, dout: Array) -> Array: ...
