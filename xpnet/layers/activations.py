"""Activation layers besides Relu; the book has Sigmoid (chapter 5.5.2)."""

from __future__ import annotations

from xpnet._numbers import real_number
from xpnet.functional import (
    gelu,
    gelu_backward,
    leaky_relu,
    leaky_relu_backward,
    sigmoid,
    sigmoid_backward,
    silu,
    silu_backward,
    tanh,
    tanh_backward,
)
from xpnet.functional._array import Array
from xpnet.layers.elementwise import Elementwise

__all__ = ["Gelu", "LeakyRelu", "Sigmoid", "Silu", "Tanh"]


class Sigmoid(Elementwise):
    """`1 / (1 + exp(-x))`, element by element, on inputs of any shape.

    Its backward uses the last output, into which nothing must be written before.
    """

    y: Array = None

    def _apply(self, x: Array) -> Array:
        self.y = self.fast(sigmoid)(x)
        return self.y

    def _chain(self, dout: Array) -> Array:
        return self.fast(sigmoid_backward)(dout, self.x, y=self.y)


class Tanh(Elementwise):
    """`tanh(x)`, element by element, on inputs of any shape.

    Its backward uses the last output, into which nothing must be written before.
    """

    y: Array = None

    def _apply(self, x: Array) -> Array:
        self.y = self.fast(tanh)(x)
        return self.y

    def _chain(self, dout: Array) -> Array:
        return self.fast(tanh_backward)(dout, self.x, y=self.y)


class LeakyRelu(Elementwise):
    """`x` where it is positive, `negative_slope * x` elsewhere, on inputs of any shape.

    Parameters
    ----------
    negative_slope : float
        The slope to the left of 0.
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.negative_slope = real_number(self.name, "negative_slope", negative_slope)

    def _apply(self, x: Array) -> Array:
        return self.fast(leaky_relu)(x, self.negative_slope)

    def _chain(self, dout: Array) -> Array:
        return self.fast(leaky_relu_backward)(dout, self.x, self.negative_slope)


class Gelu(Elementwise):
    """The Gaussian error linear unit in its tanh form; see `xpnet.functional.gelu`."""

    def _apply(self, x: Array) -> Array:
        return self.fast(gelu)(x)

    def _chain(self, dout: Array) -> Array:
        return self.fast(gelu_backward)(dout, self.x)


class Silu(Elementwise):
    """`x * sigmoid(x)`, element by element, on inputs of any shape."""

    def _apply(self, x: Array) -> Array:
        return self.fast(silu)(x)

    def _chain(self, dout: Array) -> Array:
        return self.fast(silu_backward)(dout, self.x)
