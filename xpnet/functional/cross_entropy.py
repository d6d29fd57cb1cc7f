"""The cross-entropy error of probabilities (the book's chapter 4.2.2 to 4.2.4)."""

from __future__ import annotations

from xpnet.functional._array import Array, array_namespace, check_floating, unbroadcast
from xpnet.functional._mean import mean_over_rows, mean_scale
from xpnet.functional.labels import target_rows

__all__ = ["cross_entropy_error", "cross_entropy_error_backward"]


def cross_entropy_error(y: Array, t: Array) -> Array:
    """Compute `-sum(t * log(y))`, the mean over the batch (the book's equation 4.3).

    For scores instead of probabilities, `softmax_cross_entropy` is faster and does not underflow.

    Parameters
    ----------
    y : array
        Probabilities, `(N, C)`, a stack `(…, N, C)`, or one row `(C,)`. Those below the smallest
        normal number count as that number, so that the error is finite. (The book adds 1e-7.)
    t : array
        Class numbers `(…, N)` of an integer dtype, or one-hot rows `(…, N, C)`.

    Returns
    -------
    array
        0-dimensional, or `(…)`, one a network; 0 for an empty batch. NaN where a label lies
        outside the classes.
    """
    check_floating("cross_entropy_error", y)
    xp = array_namespace(y, t)
    if y.ndim == 1:
        return cross_entropy_error(y[None, :], t[None, ...])
    rows = target_rows(y, t)
    logs = xp.log(xp.maximum(y, xp.finfo(y.dtype).smallest_normal))
    return mean_over_rows(-rows * logs)


def cross_entropy_error_backward(dout: Array | float, y: Array, t: Array) -> Array:
    """Compute the gradient of `cross_entropy_error` with respect to `y`: `-t / y / N`.

    Below the smallest normal number, where the error stays what it is, the gradient is that at this
    number, so that it still points away from there.

    Parameters
    ----------
    dout : array or float
        Gradient with respect to the error, of its shape; 1 where the error is the loss itself.
    y, t : array
        What `cross_entropy_error` was given.

    Returns
    -------
    array
        `dy`, of the shape of `y`.
    """
    check_floating("cross_entropy_error_backward", y)
    xp = array_namespace(y, t)
    if y.ndim == 1:
        return cross_entropy_error_backward(dout, y[None, :], t[None, ...])[0, :]
    rows = target_rows(y, t)
    dy = -rows / xp.maximum(y, xp.finfo(y.dtype).smallest_normal)
    dy = dy * mean_scale(dout, dy)
    return unbroadcast(dy, dy.shape[dy.ndim - y.ndim:])
