"""The network's scores of all rows, and what early stopping looks at: accuracy and R², on the device."""

from __future__ import annotations

import math

from xpnet.functional._array import Array, array_namespace
from xpnet.losses import Loss, SigmoidWithLoss, SoftmaxWithLoss
from xpnet.networks import Network
from xpnet.sklearn._rows import Rows

__all__ = ["quality", "scores_of"]

ROWS = 1000
"""Rows computed at a time, so that what is computed stays in the processor's cache."""


def scores_of(network: Network, data: Rows) -> Array:
    """Compute the scores of all rows, `(N, C)`."""
    parts = [network.predict(data.part("x", lo, min(lo + ROWS, data.rows)))
             for lo in range(0, data.rows, ROWS)]
    return parts[0] if len(parts) == 1 else array_namespace(parts[0]).concat(parts)


def quality(loss: Loss, y: Array, t: Array, weight: Array | None) -> float:
    """Give `sklearn.metrics`' `accuracy_score` or `r2_score`; NaN if predictions are not finite.

    Parameters
    ----------
    loss : Loss
        What tells a classifier from a regressor.
    y : array
        Scores of the network, `(N, C)`.
    t : array
        Labels as the loss wants them.
    weight : array, optional
        How much each row counts, `(N,)`, not all 0.
    """
    xp = array_namespace(y)
    w = xp.ones_like(y[:, :1]) if weight is None else xp.astype(weight, y.dtype, copy=False)[:, None]
    if isinstance(loss, SoftmaxWithLoss | SigmoidWithLoss):
        if isinstance(loss, SigmoidWithLoss):
            right = xp.all((y > 0) == (t > 0), axis=-1)
        else:
            found = xp.argmax(y, axis=-1)
            right = found == xp.astype(t, found.dtype)
        return float(xp.sum(w[:, 0] * xp.astype(right, y.dtype)) / xp.sum(w))
    y = loss.predictions(y)
    if not bool(xp.all(xp.isfinite(y))):
        return math.nan
    mean = xp.sum(w * t, axis=0) / xp.sum(w)
    left, there = xp.sum(w * (t - y) ** 2, axis=0), xp.sum(w * (t - mean) ** 2, axis=0)
    none = there == 0
    share = xp.where(none, xp.astype(left > 0, y.dtype), left / xp.where(none, xp.ones_like(there), there))
    return float(1 - xp.mean(share))
