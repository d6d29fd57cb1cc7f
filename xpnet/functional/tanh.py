"""The hyperbolic tangent."""

from __future__ import annotations

from xpnet.functional._array import Array, array_namespace, check_dout, check_floating

__all__ = ["tanh", "tanh_backward"]


def tanh(x: Array) -> Array:
    """Compute the hyperbolic tangent, element by element.

    Parameters
    ----------
    x : array
        Any shape, of a real floating dtype.

    Returns
    -------
    array
        Of the same shape, between -1 and 1; NaN stays NaN.
    """
    check_floating("tanh", x)
    return array_namespace(x).tanh(x)


def tanh_backward(dout: Array, x: Array, *, y: Array | None = None) -> Array:
    """Compute the gradient of `tanh`: `dout * (1 - y**2)`.

    Parameters
    ----------
    dout : array
        Gradient of the loss with respect to the output, of the shape of `x`; a stack axis of length
        1 in `x` may be longer here.
    x : array
        What `tanh` was given.
    y : array, optional
        What `tanh` returned, to save computing it again.

    Returns
    -------
    array
        `dx`, of the shape of `dout`.
    """
    check_dout("tanh_backward", dout, x)
    if y is None:
        y = tanh(x)
    return dout * (1 - y * y)
