"""Thinc."""

from __future__ import annotations

from typing import Any

import numpy as np
from thinc.api import SGD, Adam, Relu, Softmax, chain

from benchmarks.peers.peer import Peer
from benchmarks.work import BETA1, BETA2, EPS, Array, Work

__all__ = ["training"]


class Thinc(Peer):
    """Thinc's layers and optimisers, on its NumPy backend."""

    def __init__(self, work: Work) -> None:
        self.x, self.t = work.data()
        layers = []
        for k, (W, b) in enumerate(work.weights()):
            layer = (Softmax if k == len(work.sizes) - 2 else Relu)(W.shape[1], W.shape[0])
            layer.initialize()
            layer.set_param("W", np.ascontiguousarray(W.T))
            layer.set_param("b", b)
            layers.append(layer)
        self.model = chain(*layers)
        settings: dict[str, Any] = {"L2": 0.0, "grad_clip": 0.0, "use_averages": False}
        self.optimizer = SGD(work.lr, **settings) if work.optimizer == "SGD" else Adam(
            work.lr, beta1=BETA1, beta2=BETA2, eps=EPS, **settings)

    def train(self, batches: Any) -> list[Array]:
        losses = []
        for rows in batches:
            t = self.t.take(rows)
            y, backward = self.model.begin_update(self.x.take(rows, 0))
            at = np.arange(len(t)), t
            losses.append(-np.log(y[at]).mean())
            y[at] -= 1  # with softmax, the gradient of the scores, as Thinc's own loss gives it
            backward(y / np.float32(len(t)))
            self.model.finish_update(self.optimizer)
            self.optimizer.step_schedules()
        return losses


def training(work: Work, threads: int) -> dict[str, Any]:
    """Give the contenders, ready to be made."""
    return {"Thinc": lambda: Thinc(work)}
