"""The rectified linear unit (the book's chapter 5.5.1)."""

from __future__ import annotations

from xpnet.functional._array import Array, array_namespace, check_dout

__all__ = ["relu", "relu_backward"]


def relu(x: Array) -> Array:
    """Compute `max(x, 0)`, element by element; NaN stays NaN.

    Parameters
    ----------
    x : array
        Any shape.

    Returns
    -------
    array
        Of the same shape.
    """
    return array_namespace(x).maximum(x, 0)


def relu_backward(dout: Array, x: Array) -> Array:
    """Let the gradient through where the input was positive (the book's equation 5.8).

    At 0, where there is no derivative, the gradient is 0, as in the book, `torch.relu` and
    `jax.nn.relu`.

    Parameters
    ----------
    dout : array
        Gradient of the loss with respect to the output, of the shape of `x`; a stack axis of length
        1 in `x` may be longer here.
    x : array
        What `relu` was given.

    Returns
    -------
    array
        `dx`, of the shape of `dout`: that of `x`, or one for each network. No argument is changed.
    """
    xp = array_namespace(dout, x)
    check_dout("relu_backward", dout, x)
    return xp.where(x <= 0, 0, dout)
