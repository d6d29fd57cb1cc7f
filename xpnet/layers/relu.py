"""The book's Relu layer (chapter 5.5.1)."""

from __future__ import annotations

from xpnet.functional import relu, relu_backward
from xpnet.functional._array import Array
from xpnet.layers.layer import Layer

__all__ = ["Relu"]


class Relu(Layer):
    """`max(x, 0)`, element by element, on inputs of any shape."""

    def __init__(self) -> None:
        super().__init__()
        self.x: Array = None

    def forward(self, x: Array) -> Array:
        """Compute `max(x, 0)`."""
        self.check_input(x)
        self.x = x
        return relu(x)

    def backward(self, dout: Array) -> Array:
        """Let `dout`, of the shape of the last output, through where the input was positive.

        A new array is returned. (The page this began from zeroed elements of `dout` itself.)
        """
        if self.x is None:
            raise RuntimeError(f"{self.name}.backward wants a forward before it")
        return relu_backward(dout, self.x)
