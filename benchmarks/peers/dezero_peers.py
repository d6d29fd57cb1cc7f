"""DeZero, the framework of the third of the book's series."""

from __future__ import annotations

from typing import Any

import numpy as np

vars(np)["int"] = int  # which DeZero wants for a default, and NumPy has no more
import dezero

del vars(np)["int"]

from benchmarks.peers.peer import Peer
from benchmarks.work import BETA1, BETA2, EPS, Array, Work

__all__ = ["training"]


class DeZero(Peer):
    """DeZero's layers, autograd and optimisers; its loss makes gradients of float64, with NumPy 2."""

    def __init__(self, work: Work) -> None:
        self.x, self.t = work.data()
        self.model = dezero.models.MLP(work.sizes[1:], activation=dezero.functions.relu)
        for layer, (W, b) in zip(self.model.layers, work.weights(), strict=True):
            layer.W.data, layer.b.data = W, b
        self.optimizer = dezero.optimizers.SGD(work.lr) if work.optimizer == "SGD" else (
            dezero.optimizers.Adam(work.lr, BETA1, BETA2, EPS))
        self.optimizer.setup(self.model)

    def train(self, batches: Any) -> list[Array]:
        losses = []
        for rows in batches:
            scores = self.model(self.x.take(rows, 0))
            loss = dezero.functions.softmax_cross_entropy(scores, self.t.take(rows))
            self.model.cleargrads()
            loss.backward()
            self.optimizer.update()
            losses.append(loss.data)
        return losses


def training(work: Work, threads: int) -> dict[str, Any]:
    """Give the contenders, ready to be made."""
    return {"DeZero": lambda: DeZero(work)}
