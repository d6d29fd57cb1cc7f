"""The book's Adam (chapter 6.1.6), and AdamW."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar

from xpnet._numbers import fraction, positive
from xpnet.functional._array import Array, array_namespace
from xpnet.optimizers.learning_rate import LearningRate
from xpnet.optimizers.optimizer import Optimizer

__all__ = ["Adam", "AdamW"]


@dataclass(frozen=True, eq=False)
class Adam(Optimizer):
    """Momentum over the root of the mean square: `W - lr * m / (sqrt(v) + eps)`.

    `m` and `v` are the moving means of `dW` and `dW**2`, freed of their bias towards their start at
    0: Kingma & Ba 2015, algorithm 1, as `torch.optim.Adam`. The book's code adds its `eps` of 1e-7 to
    the root before `v` is freed of its bias, as the end of the paper's section 2 allows.

    Parameters
    ----------
    beta1, beta2 : float
        What part of the mean of `dW`, and of `dW**2`, remains after a step, from 0 to below 1.
    eps : float
        What keeps the quotient finite, above 0.
    lr, weight_decay, decoupled, clip_norm
        See `xpnet.optimizers.Optimizer`.
    """

    lr: LearningRate = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    memory: ClassVar[tuple[str, ...]] = ("m", "v")
    counts: ClassVar[bool] = True
    rule: ClassVar[str | None] = "adam"

    def __post_init__(self) -> None:
        super().__post_init__()
        vars(self).update(beta1=fraction(self._name, "beta1", self.beta1),
                          beta2=fraction(self._name, "beta2", self.beta2),
                          eps=positive(self._name, "eps", self.eps))

    def numbers(self, step: Array, dtype: Any) -> dict[str, Array]:
        """Give what frees the means of their bias: of `(m / c1) / (sqrt(v / c2) + eps)`, times c1."""
        xp = array_namespace(step)
        t = xp.astype(step + 1, dtype)
        correction1, correction2 = bias_correction(self.beta1, t), bias_correction(self.beta2, t)
        return {"scale": correction1 / xp.sqrt(correction2), "eps": correction1 * self.eps}

    def direction(self, g: Array, *memory: Array, **numbers: Array) -> tuple[Array, ...]:
        """Give the mean of the gradient over the root of the mean of its squares."""
        m, v = memory
        m = self.beta1 * m + (1 - self.beta1) * g
        v = self.beta2 * v + (1 - self.beta2) * (g * g)
        return m / (numbers["scale"] * array_namespace(g).sqrt(v) + numbers["eps"]), m, v


@dataclass(frozen=True, eq=False)
class AdamW(Adam):
    """Adam with decoupled weight decay, from which it takes its name (Loshchilov & Hutter 2019).

    `W - lr * (m / (sqrt(v) + eps) + weight_decay * W)`, as `torch.optim.AdamW`: the same as
    `Adam(weight_decay=0.01, decoupled=True)`.

    Parameters
    ----------
    lr, beta1, beta2, eps, weight_decay, clip_norm
        See `Adam`.
    """

    _: KW_ONLY
    weight_decay: float = 0.01
    decoupled: bool = field(default=True, init=False, repr=False)


def bias_correction(beta: float, t: Array) -> Array:
    """Give `1 - beta**t`, whose difference would lose digits at small `t`: three of float32's."""
    log = math.log(beta) if beta else -math.inf
    return -array_namespace(t).expm1(t * log)
