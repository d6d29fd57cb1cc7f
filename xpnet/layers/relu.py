"""The book's Relu layer (chapter 5.5.1)."""

from __future__ import annotations

from xpnet.functional import relu, relu_backward
from xpnet.functional._array import Array
from xpnet.layers.elementwise import Elementwise

__all__ = ["Relu"]


class Relu(Elementwise):
    """`max(x, 0)`, element by element, on inputs of any shape.

    Its backward gives a new array. (The page this began from zeroed elements of `dout` itself.)
    """

    def _apply(self, x: Array) -> Array:
        return self.fast(relu)(x)

    def _chain(self, dout: Array) -> Array:
        return self.fast(relu_backward)(dout, self.x)
