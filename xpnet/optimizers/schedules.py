"""Learning rates that change: functions of the number of steps taken before."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, TypeAlias

from xpnet._numbers import not_negative, positive, real_number, whole_number
from xpnet.functional._array import Array, array_namespace

__all__ = ["CosineDecay", "Schedule", "StepDecay", "Warmup"]

Schedule: TypeAlias = Callable[[Array], Any]
"""Any function that gives the learning rate of a step.

An optimiser calls it with the number of steps taken before, 0 at first, as a 0-dimensional array
of the parameters' library, device and (at least 32-bit) floating dtype, so that `0.1 / (1 + step)`
is one. It must not branch on the step's value, which a compiled step does not have. These here work
element by element, also on `arange(1000.0)`, to look at them, and on a Python number.
"""

PYTHON = SimpleNamespace(minimum=min, maximum=max, cos=math.cos)
"""What a schedule asks of an array's namespace, for Python's numbers."""


@dataclass(frozen=True, eq=False)
class StepDecay:
    """Multiply the rate by `factor` after every so many steps, as `torch.optim`'s StepLR.

    Parameters
    ----------
    lr : float
        The rate at first, above 0.
    every : int
        Steps at the same rate.
    factor : float
        Above 0.
    """

    lr: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        vars(self).update(lr=positive("StepDecay", "lr", self.lr),
                          every=whole_number("StepDecay", "every", self.every),
                          factor=positive("StepDecay", "factor", self.factor))

    def __call__(self, step: Array) -> Array:
        """Give `lr * factor ** (step // every)`."""
        return self.lr * self.factor ** (step // self.every)


@dataclass(frozen=True, eq=False)
class CosineDecay:
    """Let the rate fall along half a cosine (Loshchilov & Hutter 2017, equation 5, one period).

    As `torch.optim`'s CosineAnnealingLR; but after `steps` it stays, there it rises again.

    Parameters
    ----------
    lr : float
        The rate at first, above 0.
    steps : int
        Steps until the rate is `end`.
    end : float
        The rate from then on.
    """

    lr: float
    steps: int
    end: float = 0.0

    def __post_init__(self) -> None:
        vars(self).update(lr=positive("CosineDecay", "lr", self.lr),
                          steps=whole_number("CosineDecay", "steps", self.steps),
                          end=not_negative("CosineDecay", "end", self.end))

    def __call__(self, step: Array) -> Array:
        """Give `end + (lr - end) * (1 + cos(pi * step / steps)) / 2`."""
        xp = _namespace(step)
        angle = xp.minimum(step, self.steps) * (math.pi / self.steps)
        return self.end + (self.lr - self.end) / 2 * (1 + xp.cos(angle))


@dataclass(frozen=True, eq=False)
class Warmup:
    """Let the rate rise in a straight line, then follow another (Goyal et al. 2017, section 2.2).

    As `torch.optim`'s LinearLR and, with a schedule behind it, SequentialLR.

    Parameters
    ----------
    lr : float or schedule
        The rate after the warm-up. A schedule counts its steps from there on.
    steps : int
        Steps until the rate is that.
    start_factor : float
        What part of it the first step takes, from 0 to 1.
    """

    lr: float | Schedule
    steps: int
    start_factor: float = 1 / 3

    def __post_init__(self) -> None:
        vars(self).update(
            lr=self.lr if callable(self.lr) else positive("Warmup", "lr", self.lr),
            steps=whole_number("Warmup", "steps", self.steps),
            start_factor=real_number("Warmup", "start_factor", self.start_factor),
        )
        if not 0 <= self.start_factor <= 1:
            raise ValueError(f"Warmup wants start_factor from 0 to 1; got {self.start_factor}")

    def __call__(self, step: Array) -> Array:
        """Give `lr * (start_factor + (1 - start_factor) * step / steps)`, then `lr`."""
        xp = _namespace(step)
        factor = self.start_factor + (1 - self.start_factor) * (
            xp.minimum(step, self.steps) / self.steps
        )
        lr = self.lr(xp.maximum(step - self.steps, 0)) if callable(self.lr) else self.lr
        return lr * factor


def _namespace(step: Array | float) -> Any:
    return PYTHON if type(step) in (int, float) else array_namespace(step)
