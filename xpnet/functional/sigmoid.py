"""The sigmoid function (the book's chapters 3.2.4 and 5.5.2)."""

from __future__ import annotations

from xpnet.functional._array import Array, array_namespace, check_dout, check_floating

__all__ = ["sigmoid", "sigmoid_backward"]


def sigmoid(x: Array) -> Array:
    """Compute `1 / (1 + exp(-x))`, element by element, from exponentials that cannot overflow.

    Parameters
    ----------
    x : array
        Any shape, of a real floating dtype.

    Returns
    -------
    array
        Of the same shape, between 0 and 1; NaN stays NaN.
    """
    check_floating("sigmoid", x)
    xp = array_namespace(x)
    e = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1, e) / (1 + e)


def sigmoid_backward(dout: Array, x: Array, *, y: Array | None = None) -> Array:
    """Compute the gradient of `sigmoid`: `dout * y * (1 - y)` (the book's equation 5.12).

    Parameters
    ----------
    dout : array
        Gradient of the loss with respect to the output, of the shape of `x`; a stack axis of length
        1 in `x` may be longer here.
    x : array
        What `sigmoid` was given.
    y : array, optional
        What `sigmoid` returned, to save computing it again.

    Returns
    -------
    array
        `dx`, of the shape of `dout`.
    """
    check_dout("sigmoid_backward", dout, x)
    if y is None:
        y = sigmoid(x)
    return dout * (y * (1 - y))
