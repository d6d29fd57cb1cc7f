"""The book's AdaGrad (chapter 6.1.5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

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

    def __post_init__(self) -> None:
        super().__post_init__()
        vars(self).update(eps=positive(self._name, "eps", self.eps))

    def directions(
        self, grads: Mapping[str, Array], state: Mapping[str, Any]
    ) -> tuple[Mapping[str, Array], dict[str, dict[str, Array]]]:
        """Give the gradients over the root of the sum of the squares of all so far."""
        xp = array_namespace(*grads.values())
        h = {name: state["h"][name] + g * g for name, g in grads.items()}
        return {name: g / (xp.sqrt(h[name]) + self.eps) for name, g in grads.items()}, {"h": h}
