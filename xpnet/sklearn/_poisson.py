"""The Poisson deviance as a loss, for numbers that count: scikit-learn's `loss="poisson"`."""

from __future__ import annotations

from typing import ClassVar

from xpnet.functional._array import Array, array_namespace
from xpnet.functional._fitting import fitting_targets
from xpnet.functional._mean import mean_over_elements, mean_over_elements_backward
from xpnet.losses import Loss

__all__ = ["PoissonWithLoss"]


class PoissonWithLoss(Loss):
    """Half the mean Poisson deviance of `exp(x)`: `t * log(t / exp(x)) - t + exp(x)`.

    Its `y` are the predictions `exp(x)`. (McCullagh & Nelder 1989, table 2.3, with the log link.)
    """

    metric: ClassVar[str] = "r2_score"

    def forward(self, x: Array, t: Array, sample_weight: Array | None = None) -> Array:
        """Compute the loss.

        Parameters
        ----------
        x : array
            Logarithms of the predictions, `(N, M)`.
        t : array
            What was counted, not negative, `(N, M)`.
        sample_weight : array, optional
            By how much each row counts in the mean, `(N,)`, not negative.

        Returns
        -------
        array
            The loss, 0-dimensional. NaN where a target is negative.
        """
        self.check_inputs(x, t, sample_weight)
        xp, t = array_namespace(x, t), fitting_targets(self.name, x, t)
        t = xp.where(t >= 0, t, float("nan"))
        self.y = xp.exp(x)
        entropy = t * xp.log(xp.where(t > 0, t, xp.ones_like(t)))  # 0 for 0
        self.loss = mean_over_elements(entropy - t * x - t + self.y, sample_weight)
        self.x, self.t, self.sample_weight = x, t, sample_weight
        return self.loss

    def backward(self, dout: Array | float = 1) -> Array:
        """Give the gradient with respect to `x`, `(exp(x) - t) / (N * M)` times `dout`."""
        self.check_forward()
        return mean_over_elements_backward(dout, self.y - self.t, self.sample_weight)

    def predictions(self, x: Array) -> Array:
        """Give `exp(x)`."""
        return array_namespace(x).exp(x)
