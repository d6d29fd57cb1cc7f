"""Convolution of images (the book's chapter 7.4)."""

from __future__ import annotations

import itertools

from xpnet.functional._array import Array, array_namespace, reshape, sum_over, unbroadcast
from xpnet.functional._fitting import stacks_fit
from xpnet.functional.windows import Pair, Windows, fold, pad_image, taps, windows_on

__all__ = ["check_convolution", "convolution", "convolution_backward", "image_columns"]


def check_convolution(
    where: str, x: Array, W: Array, b: Array, stride: Pair, pad: Pair, dout: Array = None
) -> Windows:
    """Refuse what cannot be convolved, and tell how the filters lie on the images."""
    arrays = [a for a in (x, W, b, dout) if a is not None]
    array_namespace(*arrays)
    if (x.ndim < 4 or W.ndim < 4 or b.ndim < 1
            or x.shape[-3] != W.shape[-3] or W.shape[-4] != b.shape[-1]):
        raise ValueError(
            f"{where} wants x of shape (…, N, C, H, W), W (…, FN, C, FH, FW) and b (…, FN); "
            f"got x {tuple(x.shape)}, W {tuple(W.shape)}, b {tuple(b.shape)}"
        )
    stacks = x.shape[:-4], W.shape[:-4], b.shape[:-1]
    if not all(stacks_fit(m, n) for m, n in itertools.combinations(stacks, 2)):
        raise ValueError(f"{where} wants stacks that broadcast against each other; "
                         f"got x {tuple(x.shape)}, W {tuple(W.shape)}, b {tuple(b.shape)}")
    if any(a.dtype != x.dtype for a in arrays):
        raise TypeError(f"{where} wants x, W, b and dout of one dtype; got "
                        + ", ".join(str(a.dtype) for a in arrays))
    windows = windows_on(where, x, (W.shape[-2], W.shape[-1]), stride, pad)
    if dout is not None:
        stack = _broadcast(*stacks)
        wanted, got = (*stack, x.shape[-4], W.shape[-4], *windows.output), tuple(dout.shape)
        if len(got) != len(wanted) or got[-4:] != wanted[-4:] or any(
            n not in (m, 1) for n, m in zip(stack, got, strict=False)
        ):
            raise ValueError(f"{where} wants dout of shape {wanted}; got {got}")
    return windows


def image_columns(x: Array, windows: Windows) -> Array:
    """Give each window as a column (the book's `im2col`, turned so that outputs are images).

    Parameters
    ----------
    x : array
        Images, `(…, C, H, W)`.
    windows : Windows
        How windows lie on them.

    Returns
    -------
    array
        `(…, C * FH * FW, OH * OW)`.
    """
    xp = array_namespace(x)
    (FH, FW), (OH, OW) = windows.size, windows.output
    col = xp.stack(taps(pad_image(x, windows), windows), axis=-3)
    return reshape(col, (*x.shape[:-3], x.shape[-3] * FH * FW, OH * OW))


def convolution(x: Array, W: Array, b: Array, *, stride: Pair = 1, pad: Pair = 0) -> Array:
    """Slide filters over images: each output is the product of a filter and a window, plus a bias.

    As everywhere in deep learning, this is the cross-correlation: filters are not flipped.

    Parameters
    ----------
    x : array
        A batch of images, `(N, C, H, W)`, or one a network, `(…, N, C, H, W)`.
    W : array
        Filters, `(FN, C, FH, FW)`, or a stack of them, `(…, FN, C, FH, FW)`.
    b : array
        A bias a filter, `(FN,)`, or a stack, `(…, FN)`.
    stride, pad : int or pair of int
        Steps from one window to the next, and zeros on each side of the images; as a pair,
        (vertical, horizontal).

    Returns
    -------
    array
        `(N, FN, OH, OW)`, where `OH = 1 + (H + 2 pad - FH) // stride`, and OW likewise; with any
        stack, `(…, N, FN, OH, OW)`, the stacks broadcast against each other.

    Raises
    ------
    ValueError
        If the shapes do not fit, or the filters are larger than the padded images.
    TypeError
        If the dtypes or the libraries differ.
    """
    xp = array_namespace(x, W, b)
    windows = check_convolution("convolution", x, W, b, stride, pad)
    out = xp.matmul(_rows(W), image_columns(x, windows)) + b[..., None, :, None]
    return reshape(out, (*out.shape[:-3], x.shape[-4], W.shape[-4], *windows.output))


def convolution_backward(
    dout: Array, x: Array, W: Array, b: Array, *, stride: Pair = 1, pad: Pair = 0,
    with_dx: bool = True,
) -> tuple[Array, Array, Array]:
    """Compute the gradients of `convolution`.

    Parameters
    ----------
    dout : array
        Gradient of the loss with respect to the output, `(…, N, FN, OH, OW)`.
    x, W, b, stride, pad
        What `convolution` was given.
    with_dx : bool
        Whether to compute `dx`, which is None otherwise: of a first layer's input nobody asks for it.

    Returns
    -------
    dx, dW, db : array
        Each of the shape of its input: stack axes along which an input was broadcast are summed. An
        `x` that brings a stack axis of length 1 (`x[None, ...]`) asks for one `dx` a network, and
        gets it.
    """
    xp = array_namespace(dout, x, W, b)
    windows = check_convolution("convolution_backward", x, W, b, stride, pad, dout)
    (FH, FW), (OH, OW) = windows.size, windows.output
    rows = xp.reshape(dout, (*dout.shape[:-2], OH * OW))
    dW = sum_over(xp.matmul(rows, image_columns(x, windows).mT), -3)  # of the images' N
    dW = xp.reshape(dW, (*dW.shape[:-1], *W.shape[-3:]))
    db = sum_over(rows, (-3, -1))
    dW, db = unbroadcast(dW, W.shape), unbroadcast(db, b.shape)
    if not with_dx:
        return None, dW, db
    dcol = xp.matmul(_rows(W).mT, rows)
    dcol = xp.reshape(dcol, (*dcol.shape[:-2], W.shape[-3], FH * FW, OH, OW))
    dx = fold([dcol[..., k, :, :] for k in range(FH * FW)], windows)
    return unbroadcast(dx, dx.shape[dx.ndim - x.ndim:]), dW, db


def _rows(W: Array) -> Array:
    """Give filters as rows, `(…, 1, FN, C * FH * FW)`, 1 for the images of a batch."""
    shape = W.shape
    return array_namespace(W).reshape(
        W, (*shape[:-4], 1, shape[-4], shape[-3] * shape[-2] * shape[-1])
    )


def _broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    ndim = max(map(len, shapes))
    aligned = [(1,) * (ndim - len(shape)) + tuple(shape) for shape in shapes]
    return tuple(next((n for n in lengths if n != 1), 1) for lengths in zip(*aligned, strict=True))
