"""What all contenders do: the same rows, labels, first weights and batches."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["LARGE", "SMALL", "TINY", "Work"]

Array = Any

BETA1, BETA2, EPS = 0.9, 0.999, 1e-10
"""Adam's. scikit-learn, Thinc and DeZero add EPS before they free the root of its bias, the others behind
that: with the usual 1e-8, losses would differ by more than roundings."""


@dataclass(frozen=True)
class Work:
    """Training a network of Affine layers with ReLU between them, by softmax and cross-entropy.

    Parameters
    ----------
    sizes : tuple of int
        Features, neurons of each hidden layer, classes.
    batch : int
        Rows of a step.
    optimizer : str
        "SGD" or "Adam".
    steps : int
        Of a block that is timed.
    lr : float
        The learning rate.
    rows : int
        Of the data.
    """

    sizes: tuple[int, ...]
    batch: int
    optimizer: str
    steps: int
    lr: float = 0.1
    rows: int = 60_000

    @property
    def name(self) -> str:
        """What it is, in words."""
        return f"train {'-'.join(map(str, self.sizes))}, batch {self.batch}, {self.optimizer}"

    def data(self) -> tuple[Array, Array]:
        """Give rows `(N, D)`, float32, and labels `(N,)`, int64. All share them, and none writes."""
        return _data(self.rows, self.sizes[0], self.sizes[-1])

    def weights(self) -> list[tuple[Array, Array]]:
        """Draw W and b of each layer, by He's rule; arrays of the caller's own."""
        rng = np.random.default_rng(1)
        return [(rng.standard_normal((D, M), np.float32) * np.float32((2 / D) ** 0.5),
                 np.zeros(M, np.float32)) for D, M in itertools.pairwise(self.sizes)]

    def batches(self, first: int, steps: int) -> Array:
        """Give row numbers, `(steps, batch)`: of one fixed order of the rows, over and over."""
        order = _order(self.rows, self.batch)
        return order[np.arange(first, first + steps) % len(order)]


SMALL = Work((784, 50, 10), 100, "SGD", steps=50)
LARGE = Work((784, 1024, 1024, 10), 256, "Adam", steps=3, lr=3e-5)
TINY = (Work((20, 16, 10), 25, "SGD", 3, rows=1000),
        Work((20, 16, 12, 10), 25, "Adam", 3, lr=1e-3, rows=1000))
"""To see that the contenders agree, not to be timed."""


@functools.cache
def _data(rows: int, features: int, classes: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    x = rng.random((rows, features), np.float32)
    # Something to be learnt, so that the loss of wrong weights differs from that of right ones.
    some = x[:, :100] - np.float32(0.5)
    t = np.argmax(some @ rng.standard_normal((some.shape[1], classes), np.float32), axis=1)
    return x, t


@functools.cache
def _order(rows: int, batch: int) -> Array:
    order = np.random.default_rng(2).permutation(rows)
    return order[:rows // batch * batch].reshape(-1, batch)
