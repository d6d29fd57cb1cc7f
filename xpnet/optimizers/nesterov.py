"""Nesterov's accelerated gradient, from the book's code (`common/optimizer.py`)."""

from __future__ import annotations

from typing import ClassVar

from xpnet.functional._array import Array
from xpnet.optimizers.momentum import Momentum

__all__ = ["Nesterov"]


class Nesterov(Momentum):
    """Momentum that looks a step ahead: `v = momentum * v + dW`, `W - lr * (dW + momentum * v)`.

    Sutskever et al. 2013, in the form of Bengio et al. 2013 (arXiv:1212.0901, equation 7), whose
    parameters are those looked ahead to. As `torch.optim.SGD(momentum=…, nesterov=True)`. The book's
    code has the learning rate, and the sign, inside `v`: the same steps, until the learning rate
    changes.

    Parameters
    ----------
    momentum : float
        What part of the velocity remains after a step, from 0 to below 1.
    lr, weight_decay, decoupled, clip_norm
        See `xpnet.optimizers.Optimizer`.
    """

    rule: ClassVar[str | None] = "nesterov"

    def direction(self, g: Array, *memory: Array, **numbers: Array) -> tuple[Array, ...]:
        """Give the gradient, and the part of the new velocity that will remain."""
        v, _ = super().direction(g, *memory)
        return g + self.momentum * v, v
