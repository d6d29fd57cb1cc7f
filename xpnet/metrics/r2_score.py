"""The coefficient of determination, R²."""

from __future__ import annotations

from xpnet.functional._array import Array, array_namespace, sum_dtype
from xpnet.functional._fitting import fitting_targets

__all__ = ["r2_score"]


def r2_score(y: Array, t: Array) -> Array:
    """Compute `1 - sum((t - y)²) / sum((t - mean(t))²)`, the mean over the outputs.

    1 is perfect; 0 is no better than the targets' mean. As scikit-learn's `r2_score`, an output
    whose targets are all the same has 1 if predicted perfectly, else 0; and so has, other than
    there, a single row.

    Parameters
    ----------
    y : array
        Predictions, `(N, M)`, or a stack `(…, N, M)`, of a real floating dtype.
    t : array
        Targets, `(…, N, M)`; with M = 1 also `(…, N)`.

    Returns
    -------
    array
        0-dimensional, or `(…)`, one a network; 0 for an empty batch. Of the dtype of `y`, float32
        at least.
    """
    xp = array_namespace(y, t)
    t = fitting_targets("r2_score", y, t)
    rows, outputs = y.shape[-2:]
    y, t = (xp.astype(a, sum_dtype(y), copy=False) for a in (y, t))
    residual = xp.sum((t - y)**2, axis=-2)
    # From the first row on, targets that are all the same are 0, and their mean is without rounding.
    t = t - t[..., :min(rows, 1), :]
    mean = xp.sum(t, axis=-2, keepdims=True) / max(rows, 1)
    total = xp.sum((t - mean)**2, axis=-2)
    constant = total == 0
    perfect = xp.astype(residual == 0, y.dtype) * min(rows, 1)
    scores = xp.where(constant, perfect, 1 - residual / xp.where(constant, 1, total))
    return xp.sum(scores, axis=-1) / max(outputs, 1)
