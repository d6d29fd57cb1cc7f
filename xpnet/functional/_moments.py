"""Mean and variance, which the normalisations share."""

from __future__ import annotations

import math

from xpnet.functional._array import Array, array_namespace, sum_dtype

__all__ = ["count_over", "mean_over", "moments", "sum_over"]


def count_over(x: Array, axes: tuple[int, ...]) -> int:
    """Count the elements that a sum over these axes has; 1 for none, to divide by."""
    return max(math.prod(x.shape[k] for k in axes), 1)


def sum_over(x: Array, axes: tuple[int, ...]) -> Array:
    """Sum over axes, which stay with a length of 1."""
    xp = array_namespace(x)
    total = xp.sum(x, axis=axes, keepdims=True, dtype=sum_dtype(x))
    return xp.astype(total, x.dtype, copy=False)


def mean_over(x: Array, axes: tuple[int, ...]) -> Array:
    """Average over axes, which stay with a length of 1; 0 where there is nothing to average."""
    xp = array_namespace(x)
    total = xp.sum(x, axis=axes, keepdims=True, dtype=sum_dtype(x))
    return xp.astype(total / count_over(x, axes), x.dtype, copy=False)


def moments(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """Compute mean and biased variance over axes, which stay with a length of 1.

    In two passes, since `mean(x**2) - mean(x)**2` cancels where the mean is large. For the same
    reason the mean is improved by what it leaves: a sum over many rows rounds at each of them.
    """
    mean = mean_over(x, axes)
    rest = x - mean
    left = mean_over(rest, axes)
    rest = rest - left
    return mean + left, mean_over(rest * rest, axes)
