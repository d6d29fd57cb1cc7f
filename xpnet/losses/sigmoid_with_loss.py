"""The SigmoidWithLoss layer of the book's second volume (chapter 4.2.3)."""

from __future__ import annotations

from typing import ClassVar

from xpnet.functional import (
    sigmoid,
    sigmoid_cross_entropy,
    sigmoid_cross_entropy_backward,
)
from xpnet.functional._array import Array
from xpnet.losses.loss import Loss

__all__ = ["SigmoidWithLoss"]


class SigmoidWithLoss(Loss):
    """The mean cross-entropy of `sigmoid(x)`, for answers of yes or no, one or several a row.

    Its `y` are the probabilities of yes. PyTorch's `BCEWithLogitsLoss`.
    """

    metric: ClassVar[str] = "binary_accuracy"

    def forward(self, x: Array, t: Array, sample_weight: Array | None = None) -> Array:
        """Compute the loss.

        Parameters
        ----------
        x : array
            Scores, `(N, C)`, or a stack `(…, N, C)`.
        t : array
            Labels 0 or 1 of any real or bool dtype, `(…, N, C)`; with C = 1 also `(…, N)`.
        sample_weight : array, optional
            By how much each row counts in the mean, `(…, N)`, not negative.

        Returns
        -------
        array
            The loss, 0-dimensional, or `(…)`, one a network. NaN where a label lies outside 0 … 1.
        """
        self.check_inputs(x, t, sample_weight)
        self.loss = sigmoid_cross_entropy(x, t, sample_weight=sample_weight)
        self.y = sigmoid(x)
        self.x, self.t, self.sample_weight = x, t, sample_weight
        return self.loss

    def backward(self, dout: Array | float = 1) -> Array:
        """Give the gradient with respect to the scores, `(y - t) / (N * C)` times `dout`."""
        self.check_forward()
        return sigmoid_cross_entropy_backward(
            dout, self.x, self.t, sample_weight=self.sample_weight, y=self.y
        )

    def predictions(self, x: Array) -> Array:
        """Give `sigmoid(x)`."""
        return self.fast(sigmoid)(x)
