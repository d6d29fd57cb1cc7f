"""The book's AdaGrad (chapter 6.1.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xpnet._numbers import positive
from xpnet.functional._array import Array, array_namespace
from xpnet.optimizers.optimizer import Optimizer

__all__ = ["AdaGrad"]


@dataclass(frozen=True, eq=False)
class AdaGrad(Optimizer):
    """A learning rate for each element: `h = h + dW**2`, `W - lr * dW / (sqrt(h) + eps)`.

    Duchi et al. 2011; the book's equations 6.5 and 6.6, whose code has an `eps` of 1e-7. As
    `torch.optim.Adagrad`.

    Parameters
    ----------
    eps : float
        What keeps the quotient finite, above 0.
    lr, weight_decay, decoupled, clip_norm
        See `xpnet.optimizers.Optimizer`.
    """

    eps: float = 1e-10
    memory: ClassVar[tuple[str, ...]] = ("h",)
    rule: ClassVar[str | None] = "adagrad"

    def __post_init__(self) -> None:
        super().__post_init__()
        vars(self).update(eps=positive(self._name, "eps", self.eps))

    def direction(self, g: Array, *memory: Array, **numbers: Array) -> tuple[Array, ...]:
        """Give the gradient over the root of the sum of the squares of all so far."""
        h, = memory
        h = h + g * g
        return g / (array_namespace(g).sqrt(h) + self.eps), h
