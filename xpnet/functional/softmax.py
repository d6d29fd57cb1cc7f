"""The softmax function (the book's chapter 3.5)."""

from __future__ import annotations

from xpnet.functional._array import Array, array_namespace, check_dout, check_floating

__all__ = ["softmax", "softmax_backward"]


def softmax(x: Array) -> Array:
    """Turn scores into probabilities, `exp(x) / sum(exp(x))` along the last axis.

    The largest score of a row is subtracted first, which changes nothing but overflow (the book's
    equation 3.11).

    Parameters
    ----------
    x : array
        Scores of C classes, `(…, C)`, of a real floating dtype.

    Returns
    -------
    array
        `(…, C)`; each row sums to 1.
    """
    check_floating("softmax", x)
    xp = array_namespace(x)
    e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def softmax_backward(dout: Array, x: Array, *, y: Array | None = None) -> Array:
    """Compute the gradient of `softmax`: `y * (dout - sum(dout * y))` along the last axis.

    Parameters
    ----------
    dout : array
        Gradient of the loss with respect to the output, `(…, C)`; a stack axis of length 1 in `x`
        may be longer here.
    x : array
        What `softmax` was given.
    y : array, optional
        What `softmax` returned, to save computing it again.

    Returns
    -------
    array
        `dx`, `(…, C)`.
    """
    xp = array_namespace(dout, x)
    check_dout("softmax_backward", dout, x)
    if y is None:
        y = softmax(x)
    return y * (dout - xp.sum(dout * y, axis=-1, keepdims=True))
