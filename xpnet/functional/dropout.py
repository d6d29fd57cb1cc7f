"""Dropout (Srivastava et al. 2014; the book's chapter 6.4.3)."""

from __future__ import annotations

from typing import Any

from xpnet.functional._array import Array, array_namespace, check_dout, check_floating, unbroadcast
from xpnet.functional.random_bits import random_bits

__all__ = ["dropout", "dropout_backward", "dropout_mask"]


def dropout_mask(
    counter: Array, stream: int, shape: tuple[int, ...], dropout_ratio: float, dtype: Any, *,
    first: int = 0,
) -> Array:
    """Draw a mask: each element is 0 with a probability of `dropout_ratio`, and otherwise 1.

    Parameters
    ----------
    counter, stream, shape, first : array, int, tuple of int, int
        As for `random_bits`.
    dropout_ratio : float
        From 0 to 1; rounded to a multiple of 1/65536.
    dtype : dtype
        Of the mask.

    Returns
    -------
    array
        `shape`, or `(…, *shape)` for a stack.
    """
    bits = random_bits(counter, stream, shape, first=first)
    return array_namespace(bits).astype(bits >= round(dropout_ratio * 65536), dtype)


def dropout(x: Array, mask: Array) -> Array:
    """Compute `x * mask`, as the book does: what is kept is not scaled.

    To this belongs, at inference, `x * (1 - dropout_ratio)`.

    Parameters
    ----------
    x : array
        Any shape, of a real floating dtype.
    mask : array
        Of the shape and dtype of `x`. Either may have stack axes in front that the other lacks.

    Returns
    -------
    array
        Of the shape of `x`, or that of a stack.
    """
    _check("dropout", x, mask)
    return x * mask


def dropout_backward(dout: Array, x: Array, mask: Array) -> Array:
    """Compute the gradient of `dropout` with respect to `x`: `dout * mask`.

    Parameters
    ----------
    dout : array
        Gradient of the loss with respect to the output, of its shape.
    x, mask : array
        What `dropout` was given.

    Returns
    -------
    array
        `dx`, of the shape of `x`, or one a network for `x[None, ...]`, as in `affine_backward`.
    """
    _check("dropout_backward", x, mask)
    check_dout("dropout_backward", dout, x if x.ndim >= mask.ndim else mask)
    dx = dout * mask
    return unbroadcast(dx, dx.shape[dx.ndim - x.ndim:])


def _check(where: str, x: Array, mask: Array) -> None:
    array_namespace(x, mask)
    check_floating(where, x)
    if mask.dtype != x.dtype:
        raise TypeError(f"{where} wants a mask of dtype {x.dtype}; got {mask.dtype}")
    # The last two axes, or all of an array of fewer, are one network's; those in front broadcast.
    pairs = list(zip(reversed(x.shape), reversed(mask.shape), strict=False))
    if any(n != m for n, m in pairs[:2]) or any(n != m and 1 not in (n, m) for n, m in pairs[2:]):
        raise ValueError(f"{where} wants a mask that fits x of shape {tuple(x.shape)}; "
                         f"got {tuple(mask.shape)}")
