"""The leaky rectified linear unit (Maas, Hannun & Ng 2013)."""

from __future__ import annotations

from xpnet.functional._array import Array, array_namespace, check_dout, check_floating

__all__ = ["leaky_relu", "leaky_relu_backward"]


def leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    """Compute `x` where it is positive and `negative_slope * x` elsewhere; NaN stays NaN.

    Parameters
    ----------
    x : array
        Any shape, of a real floating dtype.
    negative_slope : float
        The slope to the left of 0.

    Returns
    -------
    array
        Of the same shape.
    """
    check_floating("leaky_relu", x)
    return array_namespace(x).where(x <= 0, negative_slope * x, x)


def leaky_relu_backward(dout: Array, x: Array, negative_slope: float = 0.01) -> Array:
    """Compute the gradient of `leaky_relu`; at 0 it is that of the left side, as in PyTorch and JAX.

    Parameters
    ----------
    dout : array
        Gradient of the loss with respect to the output, of the shape of `x`; a stack axis of length
        1 in `x` may be longer here.
    x, negative_slope : array, float
        What `leaky_relu` was given.

    Returns
    -------
    array
        `dx`, of the shape of `dout`.
    """
    check_dout("leaky_relu_backward", dout, x)
    return array_namespace(dout, x).where(x <= 0, negative_slope * dout, dout)
