"""The share of rows that are classified rightly (the book's chapter 3.6.2)."""

from __future__ import annotations

from xpnet.functional._array import Array, array_namespace, check_floating, sum_dtype
from xpnet.functional.labels import class_numbers

__all__ = ["accuracy"]


def accuracy(y: Array, t: Array) -> Array:
    """Compute the share of rows whose largest score is that of their label.

    Parameters
    ----------
    y : array
        Scores or probabilities, `(N, C)`, a stack `(…, N, C)`, or one row `(C,)`.
    t : array
        Class numbers `(…, N)` of an integer dtype, or one-hot rows `(…, N, C)`.

    Returns
    -------
    array
        0-dimensional, or `(…)`, one a network; 0 for an empty batch. Of the dtype of `y`, float32
        at least.
    """
    check_floating("accuracy", y)
    xp = array_namespace(y, t)
    if y.ndim == 1:
        return accuracy(y[None, :], t[None, ...])
    labels = class_numbers("accuracy", y, t)
    predicted = xp.argmax(y, axis=-1)
    hits = predicted == xp.astype(labels, predicted.dtype, copy=False)
    return xp.sum(xp.astype(hits, sum_dtype(y)), axis=-1) / max(y.shape[-2], 1)
