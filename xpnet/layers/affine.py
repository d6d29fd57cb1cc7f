"""The book's Affine layer (chapter 5.6)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from xpnet.functional import affine, affine_backward
from xpnet.functional._array import (
    Array,
    array_namespace,
    check_concrete,
    check_floating,
    device,
    reshape,
)
from xpnet.layers.layer import Layer
from xpnet.layers.stacks import broadcast_shape

__all__ = ["Affine"]


class Affine(Layer):
    """`x @ W + b`.

    Parameters
    ----------
    W : array
        Weights, `(D, M)`, or a stack `(…, D, M)`.
    b : array
        Bias, `(M,)`, or a stack `(…, M)`.

    Attributes
    ----------
    dW, db : array
        Gradients of the shapes of `W` and `b`, set by `backward`.
    """

    param_ndims: ClassVar[Mapping[str, int]] = {"W": 2, "b": 1}

    def __init__(self, W: Array, b: Array) -> None:
        super().__init__()
        array_namespace(W, b)
        check_concrete(self.name, W, b, remedy=None)
        check_floating(self.name, W)
        if W.dtype != b.dtype:
            raise TypeError(f"Affine wants W and b of one dtype; got {W.dtype} and {b.dtype}")
        if W.ndim < 2 or b.ndim < 1 or W.shape[-1] != b.shape[-1]:
            raise ValueError(f"Affine wants W of shape (…, D, M) and b (…, M); "
                             f"got {tuple(W.shape)} and {tuple(b.shape)}")
        self.W = W
        self.b = b
        self.stack_shape()
        self.dW: Array = None
        self.db: Array = None
        self.x: Array = None
        self.original_x_shape: tuple[int, ...] | None = None

    def forward(self, x: Array) -> Array:
        """Compute `x @ W + b`.

        Parameters
        ----------
        x : array
            `(N, D)`, or `(N, …)` with D features in all, which is flattened, as in the book. To a
            stack, `(N, D)`; or, with all the stack's axes in front, of its lengths or 1, `(…, N, D)`
            or `(…, N, …)`. (A batch of images for a stack is `x[None, ...]`: without that axis, the
            first one would be taken for the stack's.)

        Returns
        -------
        array
            `(N, M)`, or `(…, N, M)` from a stack.
        """
        self.check_input(x)
        stack, features = self.stack_shape(), self.W.shape[-2]
        batch_axes = 1 + len(stack)  # the rows', and before it the stack's
        flatten = x.ndim > batch_axes + 1
        found = math.prod(x.shape[batch_axes:]) if flatten else x.shape[-1] if x.ndim > 1 else None
        in_front = x.shape[:batch_axes - 1] if x.ndim > batch_axes else ()
        if found != features or broadcast_shape(in_front, stack) is None:
            rows = ", ".join([*map(str, stack), "N"])
            raise ValueError(f"{self.name} wants x of shape (N, {features}) or ({rows}, …) "
                             f"with {features} features; got {tuple(x.shape)}")
        self.original_x_shape = tuple(x.shape) if flatten else None
        if flatten:
            x = reshape(x, (*x.shape[:batch_axes], features))
        self.x = x
        return self.fast(affine)(x, self.W, self.b)

    def backward(self, dout: Array) -> Array:
        """Set `dW` and `db`, and give `dx` in the shape of the input.

        Parameters
        ----------
        dout : array
            Gradient with respect to the last output, of its shape.
        """
        dx = self._backward(dout, with_dx=True)
        if self.original_x_shape is not None:
            stack = dx.shape[:dx.ndim - 1]
            features = self.original_x_shape[self.x.ndim - 1:]
            dx = array_namespace(dx).reshape(dx, (*stack, *features))
        return dx

    def backward_params(self, dout: Array) -> None:
        """Set `dW` and `db` alone, in half of the time."""
        self._backward(dout, with_dx=False)

    def _backward(self, dout: Array, with_dx: bool) -> Array:
        if self.x is None:
            raise RuntimeError(f"{self.name}.backward wants a forward before it")
        dx, self.dW, self.db = self.fast(affine_backward)(
            dout, self.x, self.W, self.b, with_dx=with_dx)
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
            `(hi - lo, N, M)`.
        """
        xp = array_namespace(self.x)
        M = self.b.shape[-1]
        eye = xp.eye(M, dtype=self.x.dtype, device=device(self.x))
        if name == "b":
            return xp.broadcast_to(eye[lo:hi, None, :], (hi - lo, self.x.shape[-2], M))
        # Rows for whole features, from the first to the last that the elements belong to.
        first, features = lo // M, -(-hi // M) - lo // M
        columns = xp.reshape(self.x[:, first:first + features].mT, (-1,))  # one after the other
        columns = xp.reshape(columns, (features, 1, -1, 1))
        rows = xp.reshape(columns * eye[:, None, :], (features * M, -1, M))
        return rows[lo - first * M:hi - first * M, ...]
