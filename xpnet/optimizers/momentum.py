"""The book's Momentum (chapter 6.1.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xpnet._numbers import fraction
from xpnet.functional._array import Array
from xpnet.optimizers.optimizer import Optimizer

__all__ = ["Momentum"]


@dataclass(frozen=True, eq=False)
class Momentum(Optimizer):
    """SGD with momentum: `v = momentum * v + dW`, `W - lr * v` (Polyak 1964).

    As `torch.optim.SGD(momentum=…)`. The book's equations 6.3 and 6.4 have the learning rate, and
    the sign, inside `v`: the same steps, until the learning rate changes.

    Parameters
    ----------
    momentum : float
        What part of the velocity remains after a step, from 0 to below 1.
    lr, weight_decay, decoupled, clip_norm
        See `xpnet.optimizers.Optimizer`.
    """

    momentum: float = 0.9
    memory: ClassVar[tuple[str, ...]] = ("v",)
    rule: ClassVar[str | None] = "momentum"

    def __post_init__(self) -> None:
        super().__post_init__()
        vars(self).update(momentum=fraction(self._name, "momentum", self.momentum))

    def direction(self, g: Array, *memory: Array, **numbers: Array) -> tuple[Array, ...]:
        """Give the velocity."""
        v, = memory
        v = self.momentum * v + g
        return v, v
