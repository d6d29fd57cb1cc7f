"""The floor: the products of matrices that no step can do without, and the gather of its rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.peers.peer import Peer
from benchmarks.work import Array, Work

__all__ = ["FLOOR", "predictor", "training"]

FLOOR = "floor"


class Floor(Peer):
    """NumPy's bare products, into memory that is there already, in the layouts that are natural.

    A layer's `h @ W`, `h.T @ dout` and, but for the first, `dout @ W.T`.
    """

    computes = False

    def __init__(self, work: Work) -> None:
        self.x, _ = work.data()
        Ws = [W for W, _ in work.weights()]
        hs = [np.empty((work.batch, size), np.float32) for size in work.sizes]
        douts = [np.full((work.batch, size), 1e-3, np.float32) for size in work.sizes]
        dWs = [np.empty_like(W) for W in Ws]
        self.rows = hs[0]
        self.products = [(h, W, y) for h, W, y in zip(hs, Ws, hs[1:], strict=False)]
        for k in reversed(range(len(Ws))):
            self.products.append((hs[k].T, douts[k + 1], dWs[k]))
            if k:
                self.products.append((douts[k + 1], Ws[k].T, douts[k]))

    def train(self, batches: Any) -> Any:
        for rows in batches:
            self.x.take(rows, 0, self.rows, "clip")
            for a, b, out in self.products:
                np.matmul(a, b, out)


def training(work: Work, threads: int) -> dict[str, Any]:
    """Give the floor, ready to be made."""
    return {FLOOR: lambda: Floor(work)}


def predictor(work: Work, rows: int, threads: int) -> dict[str, Any]:
    """Give a function of `x (rows, D)` that does the products of a prediction alone."""
    Ws = [W for W, _ in work.weights()]
    outs = [np.empty((rows, size), np.float32) for size in work.sizes[1:]]

    def predict(x: Array) -> Array:
        for W, out in zip(Ws, outs, strict=True):
            x = np.matmul(x, W, out)
        return x

    return {FLOOR: predict}
