"""The book's SGD (chapter 6.1.2)."""

from __future__ import annotations

from typing import ClassVar

from xpnet.functional._array import Array
from xpnet.optimizers.optimizer import Optimizer

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent, `W - lr * dW` (the book's equation 6.1).

    Unlike the book's, `update` takes and gives the parameters and a state:

        state = optimizer.init(network.params)  # once
        params, state = optimizer.update(network.params, network.gradient(x, t), state)
        network.params.update(params)

    Parameters
    ----------
    lr, weight_decay, decoupled, clip_norm
        See `xpnet.optimizers.Optimizer`.
    """

    rule: ClassVar[str | None] = "sgd"

    def direction(self, g: Array, *memory: Array, **numbers: Array) -> tuple[Array, ...]:
        """Give the gradient."""
        return (g,)
