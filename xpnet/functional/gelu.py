"""The Gaussian error linear unit (Hendrycks & Gimpel 2016), in its form without an error function."""

from __future__ import annotations

import math

from xpnet.functional._array import Array, array_namespace, check_dout, check_floating
from xpnet.functional.sigmoid import sigmoid

__all__ = ["gelu", "gelu_backward"]

_SCALE = 2 * math.sqrt(2 / math.pi)
_CUBIC = 0.044715
_SATURATED = 30.0
"""Beyond ±30 the sigmoid below is 0 or 1 in float64, too, and the cube of `x` might overflow."""


def gelu(x: Array) -> Array:
    """Compute `0.5 * x * (1 + tanh(sqrt(2 / π) * (x + 0.044715 * x**3)))`, element by element.

    The array API has no error function. This is the approximation that the paper gives, and that
    PyTorch calls `approximate="tanh"`; it is off by less than 0.0005. It is computed as
    `x * sigmoid(2 * sqrt(2 / π) * …)`, the same by `1 + tanh(u) = 2 * sigmoid(2 * u)`, without the
    cancellation of `1 + tanh(u)` to the left.

    Parameters
    ----------
    x : array
        Any shape, of a real floating dtype.

    Returns
    -------
    array
        Of the same shape; NaN stays NaN.
    """
    check_floating("gelu", x)
    z = _within_saturation(x)
    return x * sigmoid(_SCALE * z * (1 + _CUBIC * z * z))


def gelu_backward(dout: Array, x: Array) -> Array:
    """Compute the gradient of `gelu`: `dout * s * (1 + x * (1 - s) * du)` with `s = sigmoid(u)`.

    Parameters
    ----------
    dout : array
        Gradient of the loss with respect to the output, of the shape of `x`; a stack axis of length
        1 in `x` may be longer here.
    x : array
        What `gelu` was given.

    Returns
    -------
    array
        `dx`, of the shape of `dout`.
    """
    check_dout("gelu_backward", dout, x)
    z = _within_saturation(x)
    square = _CUBIC * z * z
    s = sigmoid(_SCALE * z * (1 + square))
    return dout * (s * (1 + _SCALE * z * (1 - s) * (1 + 3 * square)))


def _within_saturation(x: Array) -> Array:
    xp = array_namespace(x)
    return xp.minimum(xp.maximum(x, -_SATURATED), _SATURATED)
