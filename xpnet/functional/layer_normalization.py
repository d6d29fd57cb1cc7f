"""Layer normalisation (Ba, Kiros & Hinton 2016)."""

from __future__ import annotations

from typing import Literal, overload

from xpnet.functional._array import Array, array_namespace, in_sum_dtype, unbroadcast
from xpnet.functional._moments import mean_over, moments, sums_over

__all__ = ["layer_normalization", "layer_normalization_backward"]


@overload
def layer_normalization(
    x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5, return_moments: Literal[False] = False
) -> Array: ...
@overload
def layer_normalization(
    x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5, return_moments: Literal[True]
) -> tuple[Array, Array, Array]: ...


def layer_normalization(
    x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5, return_moments: bool = False
) -> Array | tuple[Array, Array, Array]:
    """Normalise each row by its own mean and variance, then scale and shift its features.

    Parameters
    ----------
    x : array
        Rows, `(…, N, D)`.
    gamma, beta : array
        The scale and the shift, `(…, D)`.
    eps : float
        What is added to the variance.
    return_moments : bool
        Whether to return mean and variance as well, for `layer_normalization_backward`.

    Returns
    -------
    y : array
        `gamma * (x - mean) / sqrt(var + eps) + beta`, of the shape of `x`, with any stack in front.
    mean, var : array
        Of each row, `(…, N, 1)`, the variance biased; only with `return_moments=True`.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    TypeError
        If the dtypes or the libraries differ.
    """
    _check(x, gamma, beta)
    y, mean, var = in_sum_dtype(_forward, x, gamma, beta, eps=eps)
    return (y, mean, var) if return_moments else y


def _forward(x: Array, gamma: Array, beta: Array, eps: float) -> tuple[Array, Array, Array]:
    mean, var = moments(x, (-1,))
    normalized = (x - mean) / array_namespace(x).sqrt(var + eps)
    return normalized * gamma[..., None, :] + beta[..., None, :], mean, var


def layer_normalization_backward(
    dout: Array, x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5,
    mean: Array | None = None, var: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Compute the gradients of `layer_normalization`, through the statistics, too.

    Parameters
    ----------
    dout : array
        Gradient of the loss with respect to `y`, of its shape.
    x, gamma, beta, eps : array, float
        What `layer_normalization` was given.
    mean, var : array, optional
        What it returned, to save computing them again; 16 bits, in which a variance may overflow, are
        not enough, and do not.

    Returns
    -------
    dx, dgamma, dbeta : array
        Each of the shape of its input; or one `dx` a network for `x[None, ...]`, as in
        `affine_backward`.
    """
    _check(x, gamma, beta, dout=dout)
    return in_sum_dtype(_backward, dout, x, gamma, beta, eps=eps, mean=mean, var=var)


def _backward(
    dout: Array, x: Array, gamma: Array, beta: Array, eps: float, mean: Array | None,
    var: Array | None,
) -> tuple[Array, Array, Array]:
    if mean is None or var is None or var.dtype != x.dtype:
        mean, var = moments(x, (-1,))
    std = array_namespace(x).sqrt(var + eps)
    normalized = (x - mean) / std
    dn = dout * gamma[..., None, :]
    through_moments = mean_over(dn, (-1,)) + normalized * mean_over(dn * normalized, (-1,))
    dx = (dn - through_moments) / std
    dgamma, dbeta = (sums_over(a, (-2,))[..., 0, :] for a in (dout * normalized, dout))
    return (unbroadcast(dx, dx.shape[dx.ndim - x.ndim:]), unbroadcast(dgamma, gamma.shape),
            unbroadcast(dbeta, beta.shape))


def _check(x: Array, gamma: Array, beta: Array, dout: Array | None = None) -> None:
    others = (gamma, beta) if dout is None else (gamma, beta, dout)
    array_namespace(x, *others)
    if any(a.dtype != x.dtype for a in others):
        raise TypeError("layer_normalization wants all arrays of one dtype; got "
                        + ", ".join(str(a.dtype) for a in (x, *others)))
    if x.ndim < 2 or any(a.ndim < 1 or a.shape[-1] != x.shape[-1] for a in (gamma, beta)):
        raise ValueError("layer_normalization wants x of shape (…, N, D) and gamma and beta (…, D); "
                         f"got {tuple(x.shape)}, {tuple(gamma.shape)}, {tuple(beta.shape)}")
    if dout is not None:
        ndim = max(x.ndim, gamma.ndim + 1, beta.ndim + 1)
        if dout.ndim != ndim or dout.shape[-2:] != x.shape[-2:]:
            raise ValueError(f"layer_normalization wants dout like its output, of {ndim} axes, the "
                             f"last {tuple(x.shape[-2:])}; got {tuple(dout.shape)}")
