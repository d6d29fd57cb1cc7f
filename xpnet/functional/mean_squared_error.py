"""The mean squared error, for regression (the book's chapter 4.2.1)."""

from __future__ import annotations

from xpnet.functional._array import Array, array_namespace, sum_dtype, unbroadcast
from xpnet.functional._fitting import fitting_targets
from xpnet.functional._mean import mean_over_elements, mean_over_elements_backward

__all__ = ["mean_squared_error", "mean_squared_error_backward"]


def mean_squared_error(x: Array, t: Array, *, sample_weight: Array | None = None) -> Array:
    """Compute the mean of `(x - t) ** 2` over all elements, as PyTorch's `MSELoss`.

    (The book's equation 4.1 is half the sum instead, of one row.)

    Parameters
    ----------
    x : array
        Predictions of M values, `(N, M)`, or a stack `(…, N, M)`, of a real floating dtype.
    t : array
        Targets, `(…, N, M)`; with M = 1 also `(…, N)`. Cast to the dtype of `x`.
    sample_weight : array, optional
        By how much each row counts in the mean, `(…, N)`, not negative.

    Returns
    -------
    array
        0-dimensional, or `(…)`, one a network; 0 for an empty batch, or one without weight.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    TypeError
        If `x` is not floating, or the libraries differ.
    """
    xp = array_namespace(x, t)
    difference = x - fitting_targets("mean_squared_error", x, t)
    difference = xp.astype(difference, sum_dtype(x), copy=False)  # 256² is too much for float16
    return xp.astype(mean_over_elements(difference**2, sample_weight), x.dtype, copy=False)


def mean_squared_error_backward(
    dout: Array | float, x: Array, t: Array, *, sample_weight: Array | None = None
) -> Array:
    """Compute the gradient of `mean_squared_error` with respect to `x`: `2 * (x - t) / (N * M)`.

    Parameters
    ----------
    dout : array or float
        Gradient with respect to the loss, of its shape; 1 where the loss is the end of it.
    x, t, sample_weight
        What `mean_squared_error` was given.

    Returns
    -------
    array
        `dx`, of the shape of `x`, or one a network for `x[None, ...]`, as in `affine_backward`.
    """
    dx = x - fitting_targets("mean_squared_error_backward", x, t)
    dx = 2 * mean_over_elements_backward(dout, dx, sample_weight)
    return unbroadcast(dx, dx.shape[dx.ndim - x.ndim:])
