"""The affine transformation, which the book's Affine layer computes (chapter 5.6)."""

from __future__ import annotations

from xpnet.functional._array import Array, array_namespace, sum_over, unbroadcast

__all__ = ["affine", "affine_backward"]


def check_affine(x: Array, W: Array, b: Array, *dout: Array) -> None:
    """Refuse what does not fit together (ValueError, TypeError)."""
    if (x.ndim < 2 or W.ndim < 2 or b.ndim < 1
            or x.shape[-1] != W.shape[-2] or W.shape[-1] != b.shape[-1]):
        raise ValueError(
            "affine wants x of shape (…, N, D), W (…, D, M) and b (…, M); "
            f"got x {tuple(x.shape)}, W {tuple(W.shape)}, b {tuple(b.shape)}"
        )
    for each in dout:
        if each.ndim < 2 or each.shape[-2:] != (x.shape[-2], W.shape[-1]):
            raise ValueError("affine_backward wants dout of shape (…, N, M) with N = "
                             f"{x.shape[-2]} and M = {W.shape[-1]}; got {tuple(each.shape)}")
    if any(a.dtype != x.dtype for a in (W, b, *dout)):
        raise TypeError("affine wants x, W, b and dout of one dtype; got "
                        + ", ".join(str(a.dtype) for a in (x, W, b, *dout)))


def affine(x: Array, W: Array, b: Array) -> Array:
    """Compute `x @ W + b`.

    Parameters
    ----------
    x : array
        A batch of rows, `(N, D)`, or one a network, `(…, N, D)`.
    W : array
        Weights, `(D, M)`, or a stack of them, `(…, D, M)`.
    b : array
        Bias, `(M,)`, or a stack, `(…, M)`.

    Returns
    -------
    array
        `(N, M)`; with any stack, `(…, N, M)`, the stacks broadcast against each other.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    TypeError
        If the dtypes or the libraries differ.
    """
    xp = array_namespace(x, W, b)
    check_affine(x, W, b)
    return xp.matmul(x, W) + b[..., None, :]


def affine_backward(
    dout: Array, x: Array, W: Array, b: Array, *, with_dx: bool = True
) -> tuple[Array, Array, Array]:
    """Compute the gradients of `affine` (the book's equation 5.13 and figure 5-27).

    Parameters
    ----------
    dout : array
        Gradient of the loss with respect to the output, `(…, N, M)`.
    x, W, b : array
        What `affine` was given.
    with_dx : bool
        Whether to compute `dx`, which is None otherwise: of a first layer's input nobody asks for it.

    Returns
    -------
    dx, dW, db : array
        `dout @ W.T`, `x.T @ dout` and the sum of `dout` over the rows, each of the shape of its
        input: stack axes along which an input was broadcast are summed. An `x` that brings a
        stack axis of length 1 (`x[None, ...]`) asks for one `dx` a network, and gets it.
    """
    xp = array_namespace(dout, x, W, b)
    check_affine(x, W, b, dout)
    dW = unbroadcast(xp.matmul(x.mT, dout), W.shape)
    db = unbroadcast(sum_over(dout, -2), b.shape)
    if not with_dx:
        return None, dW, db
    dx = xp.matmul(dout, W.mT)
    return unbroadcast(dx, dx.shape[dx.ndim - x.ndim:]), dW, db
