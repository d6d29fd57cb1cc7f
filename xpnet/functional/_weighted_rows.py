"""Target rows of a cross-entropy, smoothed and weighted."""

from __future__ import annotations

import numbers
from collections.abc import Sequence

from xpnet.functional._array import Array, array_namespace, device
from xpnet.functional._fitting import sample_column
from xpnet.functional._mean import weight_sum
from xpnet.functional.labels import target_rows

__all__ = ["weighted_rows"]


def weighted_rows(
    x: Array,
    t: Array,
    label_smoothing: float,
    class_weights: Array | Sequence[float] | None,
    sample_weight: Array | None,
) -> tuple[Array, Array | None]:
    """Give labels as rows that need only be multiplied with the logarithms, and what to divide by.

    Parameters
    ----------
    x, t, label_smoothing, class_weights, sample_weight
        As for `softmax_cross_entropy`; `x` of two dimensions or more.

    Returns
    -------
    rows : array
        `s_i * w_c * q_ic`, with `q = (1 - e) * t + e / C` and e the smoothing, `(…, N, C)`.
    count : array or None
        The sum of the rows' weights `s_i * sum_c(w_c * t_ic)`, `(…)`; None for the number of rows.
    """
    labels = rows = target_rows(x, t)
    classes = x.shape[-1]
    e = check_label_smoothing(label_smoothing)
    if e:
        rows = (1 - e) * rows + e / classes
    weights = None
    if class_weights is not None:
        w = _class_weights(class_weights, x)
        rows = rows * w
        weights = array_namespace(x).sum(labels * w, axis=-1, keepdims=True)
    if sample_weight is not None:
        s = sample_column(sample_weight, x)
        rows = rows * s
        weights = s if weights is None else weights * s
    return rows, None if weights is None else weight_sum(weights)


def check_label_smoothing(label_smoothing: float) -> float:
    """Refuse what is no share of a label (ValueError); give the rest as Python's, which promotes nothing."""
    number = isinstance(label_smoothing, numbers.Real) and not isinstance(label_smoothing, bool)
    if not number or not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing is a number of 0 … 1; got {label_smoothing!r}")
    return float(label_smoothing)


def _class_weights(class_weights: Array | Sequence[float], x: Array) -> Array:
    if isinstance(class_weights, list | tuple):
        xp = array_namespace(x)
        w = xp.asarray(class_weights, dtype=x.dtype, device=device(x))
    else:
        xp = array_namespace(x, class_weights)
        w = xp.astype(class_weights, x.dtype, copy=False)
    if tuple(w.shape) != (x.shape[-1],):
        raise ValueError(f"class_weights for scores of shape {tuple(x.shape)} want shape "
                         f"({x.shape[-1]},); got {tuple(w.shape)}")
    return w
