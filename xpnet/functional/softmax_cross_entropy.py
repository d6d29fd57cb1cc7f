"""Softmax and cross-entropy in one, from scores to loss (the book's chapter 5.6.3)."""

from __future__ import annotations

from typing import Literal, overload

from xpnet.functional._array import Array, array_namespace, check_floating, unbroadcast
from xpnet.functional.cross_entropy import mean_over_rows, mean_scale
from xpnet.functional.labels import is_one_hot, target_rows
from xpnet.functional.softmax import softmax

__all__ = ["softmax_cross_entropy", "softmax_cross_entropy_backward"]


@overload
def softmax_cross_entropy(x: Array, t: Array, *, return_y: Literal[False] = False) -> Array: ...
@overload
def softmax_cross_entropy(x: Array, t: Array, *, return_y: Literal[True]) -> tuple[Array, Array]: ...


def softmax_cross_entropy(
    x: Array, t: Array, *, return_y: bool = False
) -> Array | tuple[Array, Array]:
    """Compute the mean cross-entropy of `softmax(x)`, through the shifted log-sum-exp.

    Parameters
    ----------
    x : array
        Scores, `(N, C)`, a stack `(…, N, C)`, or one row `(C,)`, of a real floating dtype.
    t : array
        Class numbers `(…, N)` of an integer dtype, or one-hot rows `(…, N, C)`.
    return_y : bool
        Whether to return the probabilities as well, for `softmax_cross_entropy_backward`.

    Returns
    -------
    loss : array
        0-dimensional, or `(…)`, one a network; 0 for an empty batch. NaN where a label lies
        outside the classes.
    y : array
        `softmax(x)`, only with `return_y=True`.

    Raises
    ------
    ValueError
        If the shape of `t` does not fit.
    TypeError
        If `x` is not floating, or the libraries differ.
    """
    check_floating("softmax_cross_entropy", x)
    xp = array_namespace(x, t)
    if x.ndim == 1:
        loss, y = softmax_cross_entropy(x[None, :], t[None, ...], return_y=True)
        return (loss, y[0, :]) if return_y else loss
    rows = target_rows(x, t)
    shifted = x - xp.max(x, axis=-1, keepdims=True)
    e = xp.exp(shifted)
    total = xp.sum(e, axis=-1, keepdims=True)
    # A class that is certainly not it (score -inf) must not turn 0 * -inf into NaN.
    loss = mean_over_rows(rows * xp.where(rows == 0, 0, xp.log(total) - shifted))
    return (loss, e / total) if return_y else loss


def softmax_cross_entropy_backward(
    dout: Array | float, x: Array, t: Array, *, y: Array | None = None
) -> Array:
    """Compute the gradient of `softmax_cross_entropy` with respect to `x`: `(y - t) / N`.

    Parameters
    ----------
    dout : array or float
        Gradient with respect to the loss, of its shape; 1 where the loss is the end of it.
    x, t : array
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
        y_row = None if y is None else y[None, :]
        return softmax_cross_entropy_backward(dout, x[None, :], t[None, ...], y=y_row)[0, :]
    if y is None:
        y = softmax(x)
    rows = target_rows(x, t)
    if is_one_hot(t, x.ndim):
        y = y * xp.sum(rows, axis=-1, keepdims=True)
    dx = y - rows
    dx = dx * mean_scale(dout, dx)
    return unbroadcast(dx, dx.shape[dx.ndim - x.ndim:])
