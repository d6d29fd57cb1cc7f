"""Steps of training, compiled, and recorded where they come again."""

from __future__ import annotations

from collections import Counter
from typing import Any

from xpnet.backend import Backend
from xpnet.functional._array import Array
from xpnet.networks import Network
from xpnet.training.data import Batch
from xpnet.training.nested import copied
from xpnet.training.step import Carry, Optimizer, Step, training_step, with_kernels

__all__ = ["Steps"]

REHEARSED = 16
"""After so many steps of a size it pays to have them recorded, where they do not follow each other."""
KEPT = 4
"""Of how many sizes recorded steps are kept, each with its memory."""


class Steps:
    """Takes steps with batches of the full size, and with the smaller one that ends an epoch.

    A library that records steps wants three in a row, which an epoch, or a call of partial_fit, may not have:
    then they are rehearsed.

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
        self._compiled = backend.compile(self._step, donate=True)
        self._recorded: dict[int, Step] = {}
        self._calls: Counter[int] = Counter()
        self._last: tuple[int, Carry | None] = 0, None

    def __call__(self, carry: Carry, batch: Batch) -> tuple[Carry, Array]:
        """Take a step; the carry's memory may be used again."""
        arrays, rows = batch
        count = (arrays["t"] if rows is None else rows).shape[0]
        step = self._recorded.get(count)
        if step is None and self._compiled is self._step:  # the library compiles nothing by itself
            step = self._begun(count, carry, batch)
            if step is not None:
                carry = copied(carry)  # a rehearsal uses its memory
        self._last = count, None
        carry, loss = (step or self._compiled)(carry, arrays, rows)
        self._last = count, carry
        return carry, loss

    def _begun(self, count: int, carry: Carry, batch: Batch) -> Step | None:
        """Begin to record, in a row or with a rehearsal; None before it pays."""
        in_a_row = self._last[0] == count and self._last[1] is carry
        self._calls[count] += 1
        if not in_a_row and self._calls[count] < REHEARSED:
            if len(self._calls) > 16 * KEPT:
                self._calls.clear()  # of a stream of parts of any size
            return None
        if len(self._recorded) == KEPT:
            del self._recorded[next(iter(self._recorded))]
        step = self._backend.compile(self._step, donate=True, record=True)
        self._recorded[count] = step
        if not in_a_row:
            _rehearse(step, copied(carry), batch)
        return step


def _rehearse(step: Step, carry: Carry, batch: Batch) -> None:
    """Take steps that lead nowhere."""
    arrays, rows = batch
    for _ in range(3):
        # What is the same at each would be taken for constant: of a batch of its own, nothing is.
        again: Any = (copied(arrays), None) if rows is None else (arrays, copied({"rows": rows})["rows"])
        carry, _ = step(carry, *again)
