"""Softmax and cross-entropy in one, from scores to loss (the book's chapter 5.6.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, overload

from xpnet.functional._array import Array, array_namespace, check_floating, unbroadcast
from xpnet.functional._mean import mean_over_rows, mean_scale
from xpnet.functional._weighted_rows import weighted_rows
from xpnet.functional.labels import is_one_hot
from xpnet.functional.softmax import softmax

__all__ = ["softmax_cross_entropy", "softmax_cross_entropy_backward"]


@overload
def softmax_cross_entropy(
    x: Array, t: Array, *, label_smoothing: float = 0.0,
    class_weights: Array | Sequence[float] | None = None, sample_weight: Array | None = None,
    return_y: Literal[False] = False,
) -> Array: ...
@overload
def softmax_cross_entropy(
    x: Array, t: Array, *, label_smoothing: float = 0.0,
    class_weights: Array | Sequence[float] | None = None, sample_weight: Array | None = None,
    return_y: Literal[True],
) -> tuple[Array, Array]: ...


def softmax_cross_entropy(
    x: Array,
    t: Array,
    *,
    label_smoothing: float = 0.0,
    class_weights: Array | Sequence[float] | None = None,
    sample_weight: Array | None = None,
    return_y: bool = False,
) -> Array | tuple[Array, Array]:
    """Compute the mean cross-entropy of `softmax(x)`, through the shifted log-sum-exp.

    With the options, as PyTorch's `CrossEntropyLoss`, the weighted mean

    `sum_i s_i sum_c w_c q_ic (-log y_ic) / sum_i s_i sum_c w_c t_ic`,  `q = (1 - e) t + e / C`

    of y = softmax(x), sample weights s, class weights w and label smoothing e. One-hot rows give
    what their class numbers give. (PyTorch divides by N for weighted rows.)

    Parameters
    ----------
    x : array
        Scores, `(N, C)`, a stack `(…, N, C)`, or one row `(C,)`, of a real floating dtype.
    t : array
        Class numbers `(…, N)` of an integer dtype, or one-hot rows `(…, N, C)`.
    label_smoothing : float
        The share of each label, 0 … 1, that all classes divide among them (Szegedy et al.,
        "Rethinking the Inception Architecture for Computer Vision", 2016, section 7).
    class_weights : array or sequence of float, optional
        By how much rows of each class count in the mean, `(C,)`, not negative. A list or tuple is
        copied to the device at each call.
    sample_weight : array, optional
        By how much each row counts in the mean, `(…, N)`, not negative; of one row, `()`.
    return_y : bool
        Whether to return the probabilities as well, for `softmax_cross_entropy_backward`.

    Returns
    -------
    loss : array
        0-dimensional, or `(…)`, one a network; 0 for an empty batch, or one without weight. NaN
        where a label lies outside the classes.
    y : array
        `softmax(x)`, only with `return_y=True`.

    Raises
    ------
    ValueError
        If a shape does not fit, or `label_smoothing` is no share.
    TypeError
        If `x` is not floating, or the libraries differ.
    """
    check_floating("softmax_cross_entropy", x)
    xp = array_namespace(x, t)
    if x.ndim == 1:
        loss, y = softmax_cross_entropy(
            x[None, :], t[None, ...], label_smoothing=label_smoothing,
            class_weights=class_weights, sample_weight=_one_row(sample_weight), return_y=True)
        return (loss, y[0, :]) if return_y else loss
    rows, count = weighted_rows(x, t, label_smoothing, class_weights, sample_weight)
    shifted = x - xp.max(x, axis=-1, keepdims=True)
    e = xp.exp(shifted)
    total = xp.sum(e, axis=-1, keepdims=True)
    # A class that is certainly not it (score -inf) must not turn 0 * -inf into NaN.
    loss = mean_over_rows(rows * xp.where(rows == 0, 0, xp.log(total) - shifted), count)
    return (loss, e / total) if return_y else loss


def softmax_cross_entropy_backward(
    dout: Array | float,
    x: Array,
    t: Array,
    *,
    label_smoothing: float = 0.0,
    class_weights: Array | Sequence[float] | None = None,
    sample_weight: Array | None = None,
    y: Array | None = None,
) -> Array:
    """Compute the gradient of `softmax_cross_entropy` with respect to `x`: `(y - t) / N`.

    Parameters
    ----------
    dout : array or float
        Gradient with respect to the loss, of its shape; 1 where the loss is the end of it.
    x, t, label_smoothing, class_weights, sample_weight
        What `softmax_cross_entropy` was given.
    y : array, optional
        `softmax(x)`, to save computing it again.

    Returns
    -------
    array
        `dx`, of the shape of `x`, or one a network for `x[None, ...]`, as in `affine_backward`.
        Rows of `t` that do not sum to 1 are accounted for.
    """
    xp = array_namespace(x, t)
    if x.ndim == 1:
        return softmax_cross_entropy_backward(
            dout, x[None, :], t[None, ...], label_smoothing=label_smoothing,
            class_weights=class_weights, sample_weight=_one_row(sample_weight),
            y=None if y is None else y[None, :])[0, :]
    if y is None:
        y = softmax(x)
    rows, count = weighted_rows(x, t, label_smoothing, class_weights, sample_weight)
    if is_one_hot(t, x.ndim) or count is not None:  # others sum to 1
        y = y * xp.sum(rows, axis=-1, keepdims=True)
    dx = y - rows
    dx = dx * mean_scale(dout, dx, count)
    return unbroadcast(dx, dx.shape[dx.ndim - x.ndim:])


def _one_row(sample_weight: Array | None) -> Array | None:
    return None if sample_weight is None else sample_weight[None, ...]
