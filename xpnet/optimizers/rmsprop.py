"""RMSprop, from the book's code (`common/optimizer.py`; chapter 6.1.5 names it)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xpnet._numbers import fraction, positive
from xpnet.functional._array import Array, array_namespace
from xpnet.optimizers.optimizer import Optimizer

__all__ = ["RMSprop"]


@dataclass(frozen=True, eq=False)
class RMSprop(Optimizer):
    """AdaGrad that forgets: `h` is the moving mean of `dW**2`, not the sum.

    `h = decay_rate * h + (1 - decay_rate) * dW**2`, `W - lr * dW / (sqrt(h) + eps)`: Tieleman &
    Hinton 2012, as `torch.optim.RMSprop`, which calls the rate `alpha`. The book's code has an `eps`
    of 1e-7.

    Parameters
    ----------
    decay_rate : float
        What part of the mean remains after a step, from 0 to below 1.
    eps : float
        What keeps the quotient finite, above 0.
    lr, weight_decay, decoupled, clip_norm
        See `xpnet.optimizers.Optimizer`.
    """

    decay_rate: float = 0.99
    eps: float = 1e-8
    memory: ClassVar[tuple[str, ...]] = ("h",)
    rule: ClassVar[str | None] = "rmsprop"

    def __post_init__(self) -> None:
        super().__post_init__()
        vars(self).update(decay_rate=fraction(self._name, "decay_rate", self.decay_rate),
                          eps=positive(self._name, "eps", self.eps))

    def direction(self, g: Array, *memory: Array, **numbers: Array) -> tuple[Array, ...]:
        """Give the gradient over the root of the mean of its squares."""
        h, = memory
        h = self.decay_rate * h + (1 - self.decay_rate) * (g * g)
        return g / (array_namespace(g).sqrt(h) + self.eps), h
