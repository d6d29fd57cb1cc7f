"""A layer as the book writes it, with nothing of xpnet in it, on any library."""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace


class BookAffine:
    """`x @ W + b` of a matrix x; attributes `W` beside `dW`, and no `params`."""

    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b
        self.x: Any = None
        self.dW: Any = None
        self.db: Any = None

    def forward(self, x: Any) -> Any:
        if x.ndim != 2:
            raise ValueError("a matrix is wanted")
        self.x = x
        return array_namespace(x).matmul(x, self.W) + self.b

    def backward(self, dout: Any) -> Any:
        xp = array_namespace(dout)
        self.dW = xp.matmul(self.x.T, dout)
        self.db = xp.sum(dout, axis=0)
        return xp.matmul(dout, self.W.T)
