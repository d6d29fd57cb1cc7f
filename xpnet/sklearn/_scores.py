"""What early stopping looks at: accuracy and R², with weights, on the device."""

from __future__ import annotations

import math

from xpnet.functional._array import Array, array_namespace
from xpnet.losses import Loss, SigmoidWithLoss, SoftmaxWithLoss

__all__ = ["score"]


def score(loss: Loss, y: Array, t: Array, weight: Array | None) -> float:
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
        How much each row counts, `(N,)`.
    """
    xp = array_namespace(y)
    if isinstance(loss, SoftmaxWithLoss):
        return _mean(xp.argmax(y, axis=-1) == xp.astype(t, xp.argmax(y, axis=-1).dtype), y, weight)
    if isinstance(loss, SigmoidWithLoss):
        return _mean(xp.all((y > 0) == (t > 0), axis=-1), y, weight)
    y = loss.predictions(y)
    if not bool(xp.all(xp.isfinite(y))):
        return math.nan
    w = xp.ones_like(y[:, :1]) if weight is None else xp.astype(weight, y.dtype, copy=False)[:, None]
    mean = xp.sum(w * t, axis=0) / xp.sum(w)
    left, there = xp.sum(w * (t - y) ** 2, axis=0), xp.sum(w * (t - mean) ** 2, axis=0)
    none = there == 0
    share = xp.where(none, xp.astype(left > 0, y.dtype), left / xp.where(none, xp.ones_like(there), there))
    return float(1 - xp.mean(share))


def _mean(right: Array, y: Array, weight: Array | None) -> float:
    xp = array_namespace(y)
    right = xp.astype(right, y.dtype)
    if weight is None:
        return float(xp.mean(right))
    weight = xp.astype(weight, y.dtype, copy=False)
    return float(xp.sum(weight * right) / xp.sum(weight))
