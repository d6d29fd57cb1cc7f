"""The progress bar."""

from __future__ import annotations

import math
import sys
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import numpy as np

from xpnet._extras import import_extra
from xpnet.training.history import History

__all__ = ["Progress"]


class Progress:
    """A bar over all samples of a run, with loss, metrics and samples per second.

    Parameters
    ----------
    samples : int
        How many there will be.
    done : int
        How many were seen before.
    shown : bool
        Whether to show it.
    """

    def __init__(self, samples: int, done: int, shown: bool) -> None:
        self._bar: Any = None
        if shown and sys.stderr is not None:
            tqdm = import_extra("tqdm.auto", "the progress bar (progress=False goes without)")
            with suppress(OSError):
                self._bar = tqdm.tqdm(total=samples, initial=done, unit=" samples",
                                      unit_scale=True, dynamic_ncols=True)
        self._measured = ""
        self._waiting = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            with suppress(OSError):
                self._bar.close()

    def advance(self, samples: int) -> None:
        """Count the samples of a step."""
        self._waiting += samples

    def look(self, loss: Any) -> None:
        """Show the loss of a step, and the steps counted since; of a stack, the mean."""
        if self._bar is None:
            return
        try:
            self._bar.set_postfix_str(f"loss {_mean(loss):.4f}{self._measured}", refresh=False)
            self._bar.update(self._waiting)
        except OSError:  # who looked at it has gone: no reason to stop training
            self._bar = None
        self._waiting = 0

    def end_epoch(self, history: History) -> None:
        """Show what an epoch ended with: loss, and metrics that are numbers; of a stack, means."""
        epoch = history.epochs[-1]
        self._measured = "".join(
            f", {name} {_mean(value):.4f}" for name, value in epoch.validation.items()
            if name != "loss" and np.ndim(value) == np.ndim(epoch.loss)
        )
        self.look(epoch.loss)


def _mean(values: Any) -> float:
    """Give the mean of those that are finite, NaN if none is."""
    finite = np.asarray(values)[np.isfinite(values)]
    return float(finite.mean()) if finite.size else math.nan
