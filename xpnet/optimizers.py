"""Optimisers: pure updates of a mapping from names to arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from xpnet.functional._array import Array

__all__ = ["SGD"]


class SGD:
    """Stochastic gradient descent, `W - lr * dW` (the book's equation 6.1).

    Parameters
    ----------
    lr : float
        Learning rate, above 0.
    """

    def __init__(self, lr: float = 0.01) -> None:
        if not 0 < lr < math.inf:
            raise ValueError(f"SGD wants a learning rate lr above 0; got {lr}")
        self.lr = float(lr)

    def init(self, params: Mapping[str, Array]) -> dict[str, Any]:
        """Give the state before the first step; SGD remembers nothing."""
        return {}

    def update(
        self, params: Mapping[str, Array], grads: Mapping[str, Array], state: dict[str, Any]
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """Take one step.

        Parameters
        ----------
        params, grads : mapping
            Parameters and their gradients, by name, in equal shapes.
        state : dict
            What `init` or the last `update` returned.

        Returns
        -------
        params, state
            New ones; the arguments are not changed. `network.params.update(params)` makes a
            network hold them.
        """
        return {name: p - self.lr * grads[name] for name, p in params.items()}, state
