"""Stopping early, and the best weights so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from xpnet._numbers import not_negative, whole_number
from xpnet.backend import Backend
from xpnet.functional._array import Array, array_namespace
from xpnet.training.history import Epoch
from xpnet.training.nested import copied
from xpnet.training.step import Carry

__all__ = ["Best", "EarlyStopping", "Watch"]

SMALLER_IS_BETTER = {"loss"}
PARTS = ("params", "state")


@dataclass(frozen=True)
class EarlyStopping:
    """Stop when the validation data show no progress, and go back to the best weights.

    Parameters
    ----------
    patience : int
        Epochs without progress after which to stop.
    monitor : str
        What to look at: "loss", of the validation data, which is to fall, or one of the metrics, which
        is to rise.
    min_delta : float
        By how much it has to change to count as progress.
    """

    patience: int = 5
    monitor: str = "loss"
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        vars(self).update(patience=whole_number("EarlyStopping", "patience", self.patience),
                          min_delta=not_negative("EarlyStopping", "min_delta", self.min_delta))


class Best(NamedTuple):
    """The best weights so far; for each network of a stack its own."""

    arrays: dict[str, dict[str, Array]]
    """Their "params" and "state"."""
    values: list[float]
    """What was measured with them, one a network; empty before the first look."""
    waited: list[int]
    """How many epochs ago, likewise."""
    epochs: list[int]
    """And in which epoch."""


class Watch:
    """Looks for the best weights.

    Each network of a stack stops for itself: once its patience is at an end, its best weights are
    settled.

    Parameters
    ----------
    settings : EarlyStopping
        When to stop.
    backend : Backend
        Of the weights.
    """

    def __init__(self, settings: EarlyStopping, backend: Backend) -> None:
        self._settings, self._backend = settings, backend

    def check(self, measured: Mapping[str, Any]) -> None:
        """Refuse to watch what is more than a number (ValueError)."""
        name = self._settings.monitor
        if name in measured and np.ndim(measured[name]) > np.ndim(measured["loss"]):
            raise ValueError(f"early_stopping wants to monitor a number; {name} is an array")

    def begin(self, carry: Carry) -> Best:
        """Give what there is before the first look: the weights of the beginning."""
        return Best({part: copied(carry[part]) for part in PARTS}, [], [], [])

    def goes_on(self, best: Best) -> bool:
        """Tell whether any network has patience left."""
        return not best.waited or min(best.waited) < self._settings.patience

    def look(self, best: Best, carry: Carry, epoch: Epoch) -> Best:
        """Give the best weights after an epoch, from those before it."""
        now = self.begin(carry).arrays
        values = np.asarray(epoch.validation[self._settings.monitor], dtype=np.float64).reshape(-1)
        if not best.values:
            return Best(now, values.tolist(), [0] * len(values), [epoch.epoch] * len(values))
        sign = -1.0 if self._settings.monitor in SMALLER_IS_BETTER else 1.0
        before, waited = np.asarray(best.values), np.asarray(best.waited)
        going = waited < self._settings.patience
        with np.errstate(invalid="ignore"):  # of infinite losses
            gain = sign * (values - before)
        better = going & ((gain > self._settings.min_delta) | (np.isnan(before) & ~np.isnan(values)))
        arrays = {
            part: {name: self._chosen(better, a, best.arrays[part][name]) for name, a in of.items()}
            for part, of in now.items()
        }
        return Best(arrays, np.where(better, values, before).tolist(),
                    np.where(better, 0, waited + going).tolist(),
                    np.where(better, epoch.epoch, best.epochs).tolist())

    def _chosen(self, better: Any, new: Array, old: Array) -> Array:
        if better.all() or not better.any():
            return new if better.all() else old
        rows = better.reshape((-1,) + (1,) * (new.ndim - 1))
        return array_namespace(new).where(self._backend.asarray(rows), new, old)
