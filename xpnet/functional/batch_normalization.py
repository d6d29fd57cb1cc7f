"""Batch normalisation (Ioffe & Szegedy 2015; the book's chapter 6.3).

In all of these, `axis`, counted from the end, is that of the C channels, with statistics of their
own: -1 in rows `(…, N, C)`, -3 in images `(…, N, C, H, W)`. So do the paper and PyTorch; the book
flattens images, and normalises each of their elements by itself.
"""

from __future__ import annotations

from xpnet.functional._array import Array, array_namespace, in_sum_dtype, unbroadcast
from xpnet.functional._moments import count_over, moments, sums_over

__all__ = [
    "batch_normalization",
    "batch_normalization_backward",
    "batch_normalization_inference",
    "batch_normalization_inference_backward",
]


def batch_normalization(
    x: Array, gamma: Array, beta: Array, *, axis: int = -1, eps: float = 1e-5
) -> tuple[Array, Array, Array]:
    """Normalise each channel by its mean and variance in the batch, then scale and shift it.

    Parameters
    ----------
    x : array
        Rows `(…, N, C)`, or images `(…, N, C, H, W)` with `axis=-3`.
    gamma, beta : array
        The scale and the shift, `(…, C)`.
    axis : int
        The axis of the channels, counted from the end.
    eps : float
        What is added to the variance.

    Returns
    -------
    y : array
        `gamma * (x - mean) / sqrt(var + eps) + beta`, of the shape of `x`, with any stack in front.
    mean, var : array
        Of the batch, `(…, C)`, the variance biased: to be averaged for inference, and for the
        backward. 0 for an empty batch.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    TypeError
        If the dtypes or the libraries differ.
    """
    _check(axis, x, gamma, beta)
    return in_sum_dtype(_forward, x, gamma, beta, axis=axis, eps=eps)


def batch_normalization_backward(
    dout: Array, x: Array, gamma: Array, beta: Array, *, axis: int = -1, eps: float = 1e-5,
    mean: Array | None = None, var: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Compute the gradients of `batch_normalization`, through the statistics, too (section 3).

    Parameters
    ----------
    dout : array
        Gradient of the loss with respect to `y`, of its shape.
    x, gamma, beta, axis, eps : array, int, float
        What `batch_normalization` was given.
    mean, var : array, optional
        What it returned, to save computing them again; 16 bits, in which a variance may overflow, are
        not enough, and do not.

    Returns
    -------
    dx, dgamma, dbeta : array
        Each of the shape of its input; or one `dx` a network for `x[None, ...]`, as in
        `affine_backward`.
    """
    _check(axis, x, gamma, beta, dout=dout)
    return in_sum_dtype(_backward, dout, x, gamma, beta, axis=axis, eps=eps, mean=mean, var=var)


def batch_normalization_inference(
    x: Array, gamma: Array, beta: Array, mean: Array, var: Array, *,
    axis: int = -1, eps: float = 1e-5,
) -> Array:
    """Normalise each channel by a given mean and variance, then scale and shift it.

    Parameters
    ----------
    x, gamma, beta, axis, eps : array, int, float
        As for `batch_normalization`.
    mean, var : array
        Of the channels, `(…, C)`; no gradient flows to them.

    Returns
    -------
    array
        `gamma * (x - mean) / sqrt(var + eps) + beta`, of the shape of `x`, with any stack in front.
    """
    _check(axis, x, gamma, beta, mean, var)
    return in_sum_dtype(_inference, x, gamma, beta, mean, var, axis=axis, eps=eps)[0]


def batch_normalization_inference_backward(
    dout: Array, x: Array, gamma: Array, beta: Array, mean: Array, var: Array, *,
    axis: int = -1, eps: float = 1e-5,
) -> tuple[Array, Array, Array]:
    """Compute the gradients of `batch_normalization_inference`, which is affine in `x`.

    Parameters
    ----------
    dout : array
        Gradient of the loss with respect to the output, of its shape.
    x, gamma, beta, mean, var, axis, eps : array, int, float
        What `batch_normalization_inference` was given.

    Returns
    -------
    dx, dgamma, dbeta : array
        As those of `batch_normalization_backward`.
    """
    _check(axis, x, gamma, beta, mean, var, dout=dout)
    return in_sum_dtype(_inference_backward, dout, x, gamma, beta, mean, var, axis=axis, eps=eps)


def channel_moments(x: Array, axis: int) -> tuple[Array, Array]:
    """Compute mean and biased variance of each channel, `(…, C)`; of 32 bits or more."""
    mean, var = (_of_channels(a, axis) for a in moments(x, _batch_axes(axis)))
    return mean, var


def channel_count(x: Array, axis: int) -> int:
    """Count the elements of a channel; 1 for none, to divide by."""
    return count_over(x, _batch_axes(axis))


def _forward(
    x: Array, gamma: Array, beta: Array, axis: int, eps: float
) -> tuple[Array, Array, Array]:
    mean, var = channel_moments(x, axis)
    return *_inference(x, gamma, beta, mean, var, axis, eps), mean, var


def _backward(
    dout: Array, x: Array, gamma: Array, beta: Array, axis: int, eps: float,
    mean: Array | None, var: Array | None,
) -> tuple[Array, Array, Array]:
    axes = _batch_axes(axis)
    if mean is None or var is None or var.dtype != x.dtype:
        mean, var = channel_moments(x, axis)
    normalized, scale = _normalized(x, gamma, mean, var, axis, eps)
    dgamma, dbeta = sums_over(dout * normalized, axes), sums_over(dout, axes)
    through_statistics = (normalized * dgamma + dbeta) / channel_count(x, axis)
    return _in_shapes(scale * (dout - through_statistics), dgamma, dbeta, x, gamma, beta, axis)


def _inference(
    x: Array, gamma: Array, beta: Array, mean: Array, var: Array, axis: int, eps: float
) -> tuple[Array]:
    scale = gamma / array_namespace(var).sqrt(var + eps)
    return ((x - _along(mean, axis)) * _along(scale, axis) + _along(beta, axis),)


def _inference_backward(
    dout: Array, x: Array, gamma: Array, beta: Array, mean: Array, var: Array, axis: int, eps: float
) -> tuple[Array, Array, Array]:
    normalized, scale = _normalized(x, gamma, mean, var, axis, eps)
    axes = _batch_axes(axis)
    dgamma, dbeta = sums_over(dout * normalized, axes), sums_over(dout, axes)
    return _in_shapes(scale * dout, dgamma, dbeta, x, gamma, beta, axis)


def _normalized(
    x: Array, gamma: Array, mean: Array, var: Array, axis: int, eps: float
) -> tuple[Array, Array]:
    """Give `x` normalised, and the derivative of the output by `x` for constant statistics."""
    std = array_namespace(var).sqrt(var + eps)
    return (x - _along(mean, axis)) / _along(std, axis), _along(gamma / std, axis)


def _in_shapes(
    dx: Array, dgamma: Array, dbeta: Array, x: Array, gamma: Array, beta: Array, axis: int
) -> tuple[Array, Array, Array]:
    """Sum gradients over the stack axes along which `x`, `gamma` or `beta` was broadcast."""
    dgamma, dbeta = _of_channels(dgamma, axis), _of_channels(dbeta, axis)
    return (unbroadcast(dx, dx.shape[dx.ndim - x.ndim:]), unbroadcast(dgamma, gamma.shape),
            unbroadcast(dbeta, beta.shape))


def _batch_axes(axis: int) -> tuple[int, ...]:
    """Give the axes of one channel: that of the batch, before `axis`, and all behind it."""
    return (axis - 1, *range(axis + 1, 0))


def _along(a: Array, axis: int) -> Array:
    """Give an array of channels `(…, C)` the axes that a batch has around them."""
    return a[(..., None, slice(None), *(None,) * (-1 - axis))]


def _of_channels(a: Array, axis: int) -> Array:
    """Take the axes around the channels, of length 1, away."""
    return array_namespace(a).squeeze(a, axis=_batch_axes(axis))


def _check(axis: int, x: Array, *channels: Array, dout: Array | None = None) -> None:
    """Refuse arrays that do not fit: `channels` are `(…, C)`, `dout` is like the output."""
    if axis >= 0:
        raise ValueError(f"batch_normalization wants axis counted from the end; got {axis}")
    others = channels if dout is None else (*channels, dout)
    array_namespace(x, *others)
    if any(a.dtype != x.dtype for a in others):
        raise TypeError("batch_normalization wants all arrays of one dtype; got "
                        + ", ".join(str(a.dtype) for a in (x, *others)))
    own = 1 - axis  # how many axes a network's batch has
    if (x.ndim < own or any(a.ndim < 1 or a.shape[-1] != x.shape[axis] for a in channels)):
        raise ValueError(f"batch_normalization wants x with C channels along axis {axis} of {own} or "
                         f"more, and for the others (…, C); got x {tuple(x.shape)}, "
                         + ", ".join(str(tuple(a.shape)) for a in channels))
    if dout is not None:
        ndim = max(x.ndim, *(a.ndim + own - 1 for a in channels))
        if dout.ndim != ndim or dout.shape[-own:] != x.shape[-own:]:
            raise ValueError(f"batch_normalization wants dout like its output, of {ndim} axes, the "
                             f"last {tuple(x.shape[-own:])}; got {tuple(dout.shape)}")
