"""The mean over a batch, weighted or not, with which losses end, and what it does to a gradient."""

from __future__ import annotations

from xpnet.functional._array import Array, array_namespace, sum_dtype
from xpnet.functional._fitting import sample_column

__all__ = [
    "mean_over_elements",
    "mean_over_elements_backward",
    "mean_over_rows",
    "mean_scale",
    "weight_sum",
]


def mean_over_rows(errors: Array, count: Array | int | None = None) -> Array:
    """Sum errors `(…, N, C)` over the classes and average over the rows: `(…)`, 0 without rows.

    `count` is what to divide by instead of N, where it is not that.
    """
    xp = array_namespace(errors)
    total = xp.sum(errors, axis=(-2, -1), dtype=sum_dtype(errors))
    if count is None:
        count = max(errors.shape[-2], 1)
    return xp.astype(total / count, errors.dtype, copy=False)


def mean_scale(
    dout: Array | float, dx: Array, count: Array | int | None = None
) -> Array | float:
    """Give the factor by which `mean_over_rows` scales its gradient `dx` `(…, N, C)`."""
    if count is None:
        count = max(dx.shape[-2], 1)
    if isinstance(dout, int | float):
        dout = float(dout)  # a NumPy scalar would promote the dtype
        if isinstance(count, int):
            return dout / count
        xp = array_namespace(dx)
    else:
        if dout.ndim and tuple(dout.shape) != tuple(dx.shape[:-2]):
            raise ValueError(f"dout of the loss's shape {tuple(dx.shape[:-2])} wanted; "
                             f"got {tuple(dout.shape)}")
        xp = array_namespace(dout, dx)
        dout = xp.astype(dout, dx.dtype, copy=False)
        if isinstance(count, int):
            return dout[..., None, None] / count
    return xp.astype((dout / count)[..., None, None], dx.dtype, copy=False)


def mean_over_elements(errors: Array, sample_weight: Array | None) -> Array:
    """Average errors `(…, N, C)` over rows and columns: `(…)`, 0 without any.

    Rows count by their weights, `(…, N)`; 0 where these sum to 0.
    """
    return mean_over_rows(*_weighted(errors, sample_weight))


def mean_over_elements_backward(
    dout: Array | float, dx: Array, sample_weight: Array | None
) -> Array:
    """Scale `dx` `(…, N, C)`, the gradient of the errors' sum, to that of their mean."""
    dx, count = _weighted(dx, sample_weight)
    return dx * mean_scale(dout, dx, count)


def _weighted(errors: Array, sample_weight: Array | None) -> tuple[Array, Array | int]:
    rows, columns = errors.shape[-2:]
    if sample_weight is None:
        return errors, max(rows * columns, 1)
    weights = sample_column(sample_weight, errors)
    return errors * weights, weight_sum(weights) * max(columns, 1)


def weight_sum(weights: Array) -> Array:
    """Sum a column of weights `(…, N, 1)`: `(…)`.

    Infinity instead of 0, so that a mean without any weight is 0 and not NaN.
    """
    xp = array_namespace(weights)
    total = xp.sum(weights, axis=(-2, -1), dtype=sum_dtype(weights))
    return xp.where(total == 0, float("inf"), total)
