"""The sigmoid-weighted linear unit (Elfwing, Uchibe & Doya 2017), also called swish."""

from __future__ import annotations

from xpnet.functional._array import Array, check_dout, check_floating
from xpnet.functional.sigmoid import sigmoid

__all__ = ["silu", "silu_backward"]


def silu(x: Array) -> Array:
    """Compute `x * sigmoid(x)`, element by element.

    Parameters
    ----------
    x : array
        Any shape, of a real floating dtype.

    Returns
    -------
    array
        Of the same shape; NaN stays NaN.
    """
    check_floating("silu", x)
    return x * sigmoid(x)


def silu_backward(dout: Array, x: Array) -> Array:
    """Compute the gradient of `silu`: `dout * s * (1 + x * (1 - s))` with `s = sigmoid(x)`.

    Parameters
    ----------
    dout : array
        Gradient of the loss with respect to the output, of the shape of `x`; a stack axis of length
        1 in `x` may be longer here.
    x : array
        What `silu` was given.

    Returns
    -------
    array
        `dx`, of the shape of `dout`.
    """
    check_dout("silu_backward", dout, x)
    s = sigmoid(x)
    return dout * (s * (1 + x * (1 - s)))
