"""The share of rows whose label is among the best guesses."""

from __future__ import annotations

from xpnet.functional._array import (
    Array,
    array_namespace,
    check_floating,
    device,
    is_integer,
    sum_dtype,
)
from xpnet.functional.labels import class_numbers

__all__ = ["top_k_accuracy"]


def top_k_accuracy(y: Array, t: Array, k: int = 5) -> Array:
    """Compute the share of rows that have their label among the k largest scores.

    Of equal scores the first counts as the largest, so that k = 1 gives `accuracy`.

    Parameters
    ----------
    y : array
        Scores or probabilities, `(N, C)`, a stack `(…, N, C)`, or one row `(C,)`.
    t : array
        Class numbers `(…, N)` of an integer dtype, or one-hot rows `(…, N, C)`.
    k : int
        1 to C. All of C classes give 1, but for rows that hold NaN or a label outside the classes.

    Returns
    -------
    array
        0-dimensional, or `(…)`, one a network; 0 for an empty batch. Of the dtype of `y`, float32
        at least.
    """
    check_floating("top_k_accuracy", y)
    xp = array_namespace(y, t)
    if y.ndim == 1:
        return top_k_accuracy(y[None, :], t[None, ...], k)
    if not is_integer(k) or not 1 <= k <= y.shape[-1]:
        raise ValueError(f"top_k_accuracy wants k of 1 … {y.shape[-1]}, the classes; got {k}")
    labels = class_numbers("top_k_accuracy", y, t)
    classes = xp.arange(y.shape[-1], device=device(y))
    labels = xp.astype(labels, classes.dtype, copy=False)[..., None]
    is_label = labels == classes
    score = xp.sum(xp.where(is_label, y, 0), axis=-1, keepdims=True)
    # Counting those that are not ahead makes NaN, which is neither, the largest, as argmax does.
    not_ahead = (y < score) | ((y == score) & (classes >= labels))
    rank = y.shape[-1] - xp.sum(xp.astype(not_ahead, classes.dtype), axis=-1)
    hits = (rank < k) & xp.any(is_label, axis=-1)
    return xp.sum(xp.astype(hits, sum_dtype(y)), axis=-1) / max(y.shape[-2], 1)
