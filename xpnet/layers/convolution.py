"""The book's Convolution layer (chapter 7.4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from xpnet.functional import convolution, convolution_backward
from xpnet.functional._array import (
    Array,
    array_namespace,
    check_concrete,
    check_floating,
    device,
)
from xpnet.functional.convolution import check_convolution, image_columns
from xpnet.functional.windows import Pair, int_pair
from xpnet.layers.layer import Layer
from xpnet.layers.stacks import broadcast_shape

__all__ = ["Convolution"]


class Convolution(Layer):
    """Filters that slide over images.

    Parameters
    ----------
    W : array
        Filters, `(FN, C, FH, FW)`, or a stack `(…, FN, C, FH, FW)`.
    b : array
        A bias a filter, `(FN,)`, or a stack `(…, FN)`.
    stride, pad : int or pair of int
        Steps from one window to the next, and zeros on each side of the images; as a pair,
        (vertical, horizontal).

    Attributes
    ----------
    dW, db : array
        Gradients of the shapes of `W` and `b`, set by `backward`.
    """

    param_ndims: ClassVar[Mapping[str, int]] = {"W": 4, "b": 1}

    def __init__(self, W: Array, b: Array, stride: Pair = 1, pad: Pair = 0) -> None:
        super().__init__()
        array_namespace(W, b)
        check_concrete(self.name, W, b, remedy=None)
        check_floating(self.name, W)
        if W.dtype != b.dtype:
            raise TypeError(f"Convolution wants W and b of one dtype; got {W.dtype} and {b.dtype}")
        if W.ndim < 4 or b.ndim < 1 or W.shape[-4] != b.shape[-1]:
            raise ValueError(f"Convolution wants W of shape (…, FN, C, FH, FW) and b (…, FN); "
                             f"got {tuple(W.shape)} and {tuple(b.shape)}")
        self.stride = int_pair("Convolution", "stride", stride, 1)
        self.pad = int_pair("Convolution", "pad", pad, 0)
        self.W = W
        self.b = b
        self.stack_shape()
        self.dW: Array = None
        self.db: Array = None
        self.x: Array = None

    def forward(self, x: Array) -> Array:
        """Compute the products of filters and windows, plus the bias.

        Only `x` is kept for `backward`, not its windows, which are FH * FW times as large.

        Parameters
        ----------
        x : array
            Images, `(N, C, H, W)`; for a stack also with all the stack's axes in front, of its
            lengths or 1, `(…, N, C, H, W)`.

        Returns
        -------
        array
            `(N, FN, OH, OW)`, or `(…, N, FN, OH, OW)` from a stack; see
            `xpnet.functional.convolution`.
        """
        self.check_input(x)
        stack, channels = self.stack_shape(), self.W.shape[-3]
        fits = x.ndim in (4, 4 + len(stack)) and broadcast_shape(x.shape[:-4], stack) is not None
        if not fits or x.shape[-3] != channels:
            images = f"(N, {channels}, H, W)"
            if stack:
                images += f" or ({', '.join([*map(str, stack), 'N'])}, {channels}, H, W)"
            raise ValueError(f"{self.name} wants x of shape {images}; got {tuple(x.shape)}")
        check_convolution(self.name, x, self.W, self.b, self.stride, self.pad)
        self.x = x
        return self.fast(convolution)(x, self.W, self.b, stride=self.stride, pad=self.pad)

    def backward(self, dout: Array) -> Array:
        """Set `dW` and `db`, and give `dx` in the shape of the input.

        Parameters
        ----------
        dout : array
            Gradient with respect to the last output, of its shape.
        """
        return self._backward(dout, with_dx=True)

    def backward_params(self, dout: Array) -> None:
        """Set `dW` and `db` alone, in two thirds of the time."""
        self._backward(dout, with_dx=False)

    def _backward(self, dout: Array, with_dx: bool) -> Array:
        if self.x is None:
            raise RuntimeError(f"{self.name}.backward wants a forward before it")
        dx, self.dW, self.db = self.fast(convolution_backward)(
            dout, self.x, self.W, self.b, stride=self.stride, pad=self.pad, with_dx=with_dx)
        return dx

    def tangents(self, name: str, lo: int, hi: int) -> Array:
        """Give the derivatives of the last output with respect to some elements of a parameter.

        That is how `xpnet.testing` checks every element of `W` by way of the output.

        Parameters
        ----------
        name : str
            "W" or "b", without stack axes.
        lo, hi : int
            The elements' numbers, `lo <= k < hi`, counted along the rows.

        Returns
        -------
        array
            `(hi - lo, N, FN, OH, OW)`.
        """
        xp = array_namespace(self.x)
        windows = check_convolution(self.name, self.x, self.W, self.b, self.stride, self.pad)
        N, FN = self.x.shape[0], self.b.shape[-1]
        shape = (hi - lo, N, FN, *windows.output)
        eye = xp.eye(FN, dtype=self.x.dtype, device=device(self.x))
        if name == "b":
            return xp.broadcast_to(eye[lo:hi, None, :, None, None], shape)
        col = image_columns(self.x, windows)  # (N, K, L), where each filter has K elements
        K = col.shape[1]
        # For whole filters, from the first to the last that the elements belong to.
        first, filters = lo // K, eye[lo // K:-(-hi // K), :]
        col = xp.permute_dims(col, (1, 0, 2))[None, :, :, None, :]
        rows = xp.reshape(filters[:, None, None, :, None] * col, (-1, N, FN, *windows.output))
        return rows[lo - first * K:hi - first * K, ...]
