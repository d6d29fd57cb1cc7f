"""Mean and variance, which the normalisations share; of 32 bits or more, see `in_sum_dtype`."""

from __future__ import annotations

import math

from xpnet.functional._array import Array, array_namespace

__all__ = ["count_over", "mean_over", "moments", "sums_over"]


def count_over(x: Array, axes: tuple[int, ...]) -> int:
    """Count the elements that a sum over these axes has; 1 for none, to divide by."""
    return max(math.prod(x.shape[k] for k in axes), 1)


def sums_over(x: Array, axes: tuple[int, ...]) -> Array:
    """Sum over axes, which stay with a length of 1."""
    return array_namespace(x).sum(x, axis=axes, keepdims=True)


def mean_over(x: Array, axes: tuple[int, ...]) -> Array:
    """Average over axes, which stay with a length of 1; 0 where there is nothing to average."""
    return sums_over(x, axes) / count_over(x, axes)


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
