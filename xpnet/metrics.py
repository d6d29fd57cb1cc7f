"""How well predictions fit the labels."""

from __future__ import annotations

from xpnet.functional._array import Array, array_namespace, check_floating, sum_dtype
from xpnet.functional.labels import is_one_hot

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
    one_hot = is_one_hot(t, y.ndim)
    axes = 2 if one_hot else 1
    if tuple(t.shape[-axes:]) != tuple(y.shape[-2:][:axes]):
        raise ValueError(f"labels for scores of shape {tuple(y.shape)} want shape (…, "
                         f"{y.shape[-2]}) or (…, {y.shape[-2]}, {y.shape[-1]}); "
                         f"got {tuple(t.shape)}")
    predicted = xp.argmax(y, axis=-1)
    if one_hot:
        t = xp.argmax(xp.astype(t, y.dtype, copy=False), axis=-1)
    hits = predicted == xp.astype(t, predicted.dtype, copy=False)
    hits = xp.astype(hits, sum_dtype(y))
    return xp.sum(hits, axis=-1) / max(y.shape[-2], 1)
