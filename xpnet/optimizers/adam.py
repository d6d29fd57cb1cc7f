"""The book's Adam (chapter 6.1.6), and AdamW."""

from __future__ import annotations

import math
from collections.abc import Mapping
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

    def __post_init__(self) -> None:
        super().__post_init__()
        vars(self).update(beta1=fraction(self._name, "beta1", self.beta1),
                          beta2=fraction(self._name, "beta2", self.beta2),
                          eps=positive(self._name, "eps", self.eps))

    def directions(
        self, grads: Mapping[str, Array], state: Mapping[str, Any]
    ) -> tuple[Mapping[str, Array], dict[str, dict[str, Array]]]:
        """Give the means of the gradients over the roots of the means of their squares."""
        xp, b1, b2 = array_namespace(*grads.values()), self.beta1, self.beta2
        m = {name: b1 * state["m"][name] + (1 - b1) * g for name, g in grads.items()}
        v = {name: b2 * state["v"][name] + (1 - b2) * (g * g) for name, g in grads.items()}
        t = xp.astype(state["step"] + 1, next(iter(m.values())).dtype)
        correction1, correction2 = bias_correction(b1, t), bias_correction(b2, t)
        # (m / correction1) / (sqrt(v / correction2) + eps), the scalars multiplied first
        scale, eps = correction1 / xp.sqrt(correction2), correction1 * self.eps
        return {name: m[name] / (scale * xp.sqrt(v[name]) + eps) for name in grads}, {"m": m, "v": v}


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
