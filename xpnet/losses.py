"""The last layer of a network: scores and labels in, the loss out."""

from __future__ import annotations

import copy
from typing import Self

from xpnet.functional import softmax_cross_entropy, softmax_cross_entropy_backward
from xpnet.functional._array import Array, check_concrete

__all__ = ["SoftmaxWithLoss"]


class SoftmaxWithLoss:
    """The mean cross-entropy of `softmax(x)` (the book's chapter 5.6.3).

    Attributes
    ----------
    loss : array
        The last loss, 0-dimensional, or `(…)`, one a network.
    y : array
        The last probabilities, `(…, N, C)`.
    t : array
        The last labels, as they were given.
    """

    _bound = False

    def __init__(self) -> None:
        self.name = type(self).__name__
        self.loss: Array = None
        self.y: Array = None
        self.t: Array = None
        self.x: Array = None

    def forward(self, x: Array, t: Array) -> Array:
        """Compute the loss.

        Parameters
        ----------
        x : array
            Scores, `(N, C)`, or a stack `(…, N, C)`.
        t : array
            Class numbers `(…, N)` of any integer dtype, or one-hot rows `(…, N, C)`.

        Returns
        -------
        array
            The loss, 0-dimensional, or `(…)`, one a network. NaN where a label lies outside the
            classes.
        """
        check_concrete(self.name, x, t, remedy=None if self._bound else (
            "bind it first, in the traced function: loss.bind().forward(x, t)"
        ))
        self.x, self.t = x, t
        self.loss, self.y = softmax_cross_entropy(x, t, return_y=True)
        return self.loss

    def backward(self, dout: Array | float = 1) -> Array:
        """Give the gradient with respect to the scores, `(y - t) / N` times `dout`."""
        if self.y is None:
            raise RuntimeError(f"{self.name}.backward wants a forward before it")
        return softmax_cross_entropy_backward(dout, self.x, self.t, y=self.y)

    def bind(self) -> Self:
        """Give a copy for one call, which may be traced by `jax.jit`."""
        bound = copy.copy(self)
        bound._bound = True
        return bound
