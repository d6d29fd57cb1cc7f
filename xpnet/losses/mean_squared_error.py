"""The mean squared error as a loss, for regression (the book's chapter 4.2.1)."""

from __future__ import annotations

from typing import ClassVar

from xpnet.functional import mean_squared_error, mean_squared_error_backward
from xpnet.functional._array import Array
from xpnet.losses.loss import Loss

__all__ = ["MeanSquaredError"]


class MeanSquaredError(Loss):
    """The mean of `(x - t) ** 2` over all elements, for regression.

    Its `y` is `x`. PyTorch's `MSELoss`. (The book's equation 4.1 is half the sum instead, of one
    row.)
    """

    metric: ClassVar[str] = "r2_score"

    def forward(self, x: Array, t: Array, sample_weight: Array | None = None) -> Array:
        """Compute the loss.

        Parameters
        ----------
        x : array
            Predictions, `(N, M)`, or a stack `(…, N, M)`.
        t : array
            Targets, `(…, N, M)`; with M = 1 also `(…, N)`.
        sample_weight : array, optional
            By how much each row counts in the mean, `(…, N)`, not negative.

        Returns
        -------
        array
            The loss, 0-dimensional, or `(…)`, one a network.
        """
        self.check_inputs(x, t, sample_weight)
        self.loss = mean_squared_error(x, t, sample_weight=sample_weight)
        self.x, self.y, self.t, self.sample_weight = x, x, t, sample_weight
        return self.loss

    def backward(self, dout: Array | float = 1) -> Array:
        """Give the gradient with respect to `x`, `2 * (x - t) / (N * M)` times `dout`."""
        self.check_forward()
        return mean_squared_error_backward(
            dout, self.x, self.t, sample_weight=self.sample_weight
        )

    def predictions(self, x: Array) -> Array:
        """Give the scores themselves."""
        return x
