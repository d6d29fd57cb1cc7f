"""Sigmoid and cross-entropy in one, from scores to loss, for labels of yes or no."""

from __future__ import annotations

from xpnet.functional._array import Array, array_namespace, unbroadcast
from xpnet.functional._fitting import fitting_targets
from xpnet.functional._mean import mean_over_elements, mean_over_elements_backward
from xpnet.functional.sigmoid import sigmoid

__all__ = ["sigmoid_cross_entropy", "sigmoid_cross_entropy_backward"]


def sigmoid_cross_entropy(x: Array, t: Array, *, sample_weight: Array | None = None) -> Array:
    """Compute the mean of `-t * log(y) - (1 - t) * log(1 - y)`, with `y = sigmoid(x)`.

    As `max(x, 0) - x * t + log1p(exp(-|x|))`, which neither overflows nor loses what is small; over
    all elements, as PyTorch's `BCEWithLogitsLoss`.

    Parameters
    ----------
    x : array
        Scores of C independent questions, `(N, C)`, or a stack `(…, N, C)`, of a real floating
        dtype.
    t : array
        1 for yes and 0 for no, or the probability of yes, of any real or bool dtype, `(…, N, C)`;
        with C = 1 also `(…, N)`.
    sample_weight : array, optional
        By how much each row counts in the mean, `(…, N)`, not negative.

    Returns
    -------
    array
        0-dimensional, or `(…)`, one a network; 0 for an empty batch, or one without weight. NaN
        where a label lies outside 0 … 1.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    TypeError
        If `x` is not floating, or the libraries differ.
    """
    xp = array_namespace(x, t)
    labels = _probabilities("sigmoid_cross_entropy", x, t)
    errors = xp.maximum(x, 0) - x * labels + xp.log1p(xp.exp(-xp.abs(x)))
    return mean_over_elements(errors, sample_weight)


def sigmoid_cross_entropy_backward(
    dout: Array | float,
    x: Array,
    t: Array,
    *,
    sample_weight: Array | None = None,
    y: Array | None = None,
) -> Array:
    """Compute the gradient of `sigmoid_cross_entropy` with respect to `x`: `(y - t) / (N * C)`.

    Parameters
    ----------
    dout : array or float
        Gradient with respect to the loss, of its shape; 1 where the loss is the end of it.
    x, t, sample_weight
        What `sigmoid_cross_entropy` was given.
    y : array, optional
        `sigmoid(x)`, to save computing it again.

    Returns
    -------
    array
        `dx`, of the shape of `x`, or one a network for `x[None, ...]`, as in `affine_backward`.
    """
    labels = _probabilities("sigmoid_cross_entropy_backward", x, t)
    dx = (sigmoid(x) if y is None else y) - labels
    dx = mean_over_elements_backward(dout, dx, sample_weight)
    return unbroadcast(dx, dx.shape[dx.ndim - x.ndim:])


def _probabilities(where: str, x: Array, t: Array) -> Array:
    """Give the labels in shape and dtype of the scores, NaN where they are not from 0 to 1.

    Labels of -1 and 1, say, would give a loss without a bound, and an error here would have to wait
    for the GPU.
    """
    labels = fitting_targets(where, x, t)
    inside = (labels >= 0) & (labels <= 1)
    return array_namespace(x).where(inside, labels, float("nan"))
