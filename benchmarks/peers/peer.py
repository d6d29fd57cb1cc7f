"""What a contender is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

__all__ = ["Peer"]

Array = Any


class Peer(ABC):
    """A way to train, on the rows and from the weights of a `Work`."""

    computes = True
    """Whether it trains: the floor does not, and has no losses."""

    def place(self, batches: Array) -> Any:
        """Bring row numbers `(steps, batch)` to where they are wanted; this is not timed."""
        return batches

    @abstractmethod
    def train(self, batches: Any) -> Any:
        """Train on some batches, as `place` gave them, and give their losses, once all is done."""

    def losses(self, batches: Array) -> list[float]:
        """Train on some batches, and give the loss of each before its step."""
        return [float(loss) for loss in self.train(self.place(batches))]
