"""The book's SGD (chapter 6.1.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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

    def directions(
        self, grads: Mapping[str, Array], state: Mapping[str, Any]
    ) -> tuple[Mapping[str, Array], dict[str, dict[str, Array]]]:
        """Give the gradients."""
        return grads, {}
