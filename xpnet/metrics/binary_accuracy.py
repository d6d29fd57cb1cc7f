"""The share of answers of yes or no that are right."""

from __future__ import annotations

from xpnet.functional._array import Array, array_namespace, sum_dtype
from xpnet.functional._fitting import fitting_targets

__all__ = ["binary_accuracy"]


def binary_accuracy(y: Array, t: Array) -> Array:
    """Compute the share of elements whose score has the sign of its label.

    A score from 0 on says 1 and one below 0 says 0, as `sigmoid` puts them above or below 1/2.

    Parameters
    ----------
    y : array
        Scores, not probabilities, `(N, C)`, or a stack `(…, N, C)`.
    t : array
        Labels 0 or 1 of any real or bool dtype, `(…, N, C)`; with C = 1 also `(…, N)`. Others are
        missed by any score, and so are all labels by NaN.

    Returns
    -------
    array
        0-dimensional, or `(…)`, one a network; 0 for an empty batch. Of the dtype of `y`, float32
        at least.
    """
    xp = array_namespace(y, t)
    labels = fitting_targets("binary_accuracy", y, t)
    hits = ((y >= 0) & (labels == 1)) | ((y < 0) & (labels == 0))
    total = xp.sum(xp.astype(hits, sum_dtype(y)), axis=(-2, -1))
    return total / max(y.shape[-2] * y.shape[-1], 1)
