"""Steps of training, compiled once for each number of rows."""

from __future__ import annotations

from collections import Counter

from xpnet.backend import Backend
from xpnet.functional._array import Array
from xpnet.networks import Network
from xpnet.training.data import Batch
from xpnet.training.nested import copied
from xpnet.training.step import Carry, Optimizer, Step, training_step, with_kernels

__all__ = ["Steps"]

REHEARSED = 16
"""After so many steps it pays to have them recorded, where they do not follow each other."""


class Steps:
    """Takes steps with batches of the full size, and with the smaller one that ends an epoch.

    A library that records steps wants three in a row, which an epoch, or a call of partial_fit, may not have.

    Parameters
    ----------
    network : Network
        Whose structure is read.
    optimizer : Optimizer
        What makes new parameters of gradients.
    backend : Backend
        Compiles the steps.
    """

    def __init__(self, network: Network, optimizer: Optimizer, backend: Backend) -> None:
        self._backend = backend
        self._step = training_step(
            network.with_kernels(backend.kernels), with_kernels(optimizer, backend), shared=False)
        self._compiled: dict[int, Step] = {}
        self._calls: Counter[int] = Counter()

    def __call__(self, carry: Carry, batch: Batch) -> tuple[Carry, Array]:
        """Take a step; the carry's memory may be used again."""
        arrays, rows = batch
        count = (arrays["t"] if rows is None else rows).shape[0]
        if count not in self._compiled:
            self._compiled[count] = self._backend.compile(self._step, donate=True, record=True)
        self._calls[count] += 1
        if self._calls[count] == REHEARSED:
            carry = copied(carry)  # whose memory is used again
            self._rehearse(self._compiled[count], copied(carry), arrays, rows)
        return self._compiled[count](carry, arrays, rows)

    def _rehearse(self, step: Step, carry: Carry, arrays: dict[str, Array], rows: Array) -> None:
        """Take steps that lead nowhere, so that what records steps has had three in a row."""
        for _ in range(3):
            # What is the same at each would be taken for constant: of a batch of its own, nothing is.
            again = (copied(arrays), None) if rows is None else (arrays, copied({"rows": rows})["rows"])
            carry, _ = step(carry, *again)
