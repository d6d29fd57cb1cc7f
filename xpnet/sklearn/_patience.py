"""When to stop: scikit-learn's rule, and the best weights so far."""

from __future__ import annotations

import math
from typing import Any

from xpnet.training.nested import copied
from xpnet.training.step import Carry

__all__ = ["Patience"]


class Patience:
    """Counts the epochs without progress, of the training loss or of a score on held-out rows.

    Parameters
    ----------
    scored : bool
        Whether it is a score, which is to rise; the best weights are then kept.

    Attributes
    ----------
    best : float
        The best value so far.
    waited : int
        Epochs without progress.
    weights : dict or None
        The "params" and "state" with which the best score was reached.
    """

    def __init__(self, scored: bool) -> None:
        self.scored = scored
        self.best = -math.inf if scored else math.inf
        self.waited = 0
        self.weights: dict[str, Any] | None = None

    def look(self, value: float, tol: float, carry: Carry) -> None:
        """Take note of the value after an epoch; NaN is no progress, and no setback either.

        Parameters
        ----------
        value : float
            The loss or the score.
        tol : float
            By how much it has to get better to count as progress.
        carry : dict
            The weights that it is of.
        """
        if self.scored:
            self.waited = self.waited + 1 if value < self.best + tol else 0
            if value > self.best:
                self.best = value
                self.weights = {part: copied(carry[part]) for part in ("params", "state")}
        else:
            self.waited = self.waited + 1 if value > self.best - tol else 0
            self.best = min(self.best, value)
