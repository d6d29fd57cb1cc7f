"""scikit-learn's MLPClassifier."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier

from benchmarks.peers.peer import Peer
from benchmarks.work import BETA1, BETA2, EPS, Array, Work

__all__ = ["predictor", "training"]


def classifier(work: Work) -> Any:
    """Make one that has the first weights, and has seen nothing."""
    settings: dict[str, Any] = {"momentum": 0} if work.optimizer == "SGD" else {
        "beta_1": BETA1, "beta_2": BETA2, "epsilon": EPS}
    made = MLPClassifier(work.sizes[1:-1], solver=work.optimizer.lower(), alpha=0, batch_size=work.batch,
                         learning_rate_init=work.lr, shuffle=False, **settings)
    x, t = work.data()
    made.partial_fit(x[:work.batch], t[:work.batch], classes=np.arange(work.sizes[-1]))
    made.coefs_ = [W for W, _ in work.weights()]
    made.intercepts_ = [b for _, b in work.weights()]
    del made._optimizer  # which remembers that step; the next one begins anew
    return made


class ScikitLearn(Peer):
    """`partial_fit`, which is given the rows of a block of steps at once.

    It takes a step for each `batch_size` of them. So what it checks at each call, which is much, is checked
    once a block; and the gather is one.
    """

    def __init__(self, work: Work) -> None:
        self.x, self.t = work.data()
        self.made = classifier(work)

    def train(self, batches: Any) -> list[float]:
        rows = batches.reshape(-1)
        self.made.partial_fit(self.x.take(rows, 0), self.t.take(rows))
        return [self.made.loss_]

    def losses(self, batches: Array) -> list[float]:
        """Train step by step: of a block it says the mean loss alone."""
        return [self.train(rows)[0] for rows in batches]


def training(work: Work, threads: int) -> dict[str, Any]:
    """Give the contender, ready to be made."""
    return {"scikit-learn": lambda: ScikitLearn(work)}


def predictor(work: Work, rows: int, threads: int) -> dict[str, Any]:
    """Give functions of `x (rows, D)` that predict: probabilities, there is no way to the scores."""
    made = classifier(work)

    def predict(x: Array) -> Array:
        return np.log(made.predict_proba(x))

    return {"scikit-learn": predict}
