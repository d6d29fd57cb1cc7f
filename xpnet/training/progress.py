"""The progress bar."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from xpnet._extras import import_extra
from xpnet.functional._array import Array

__all__ = ["Progress"]

INTERVAL = 0.2
"""Seconds between two looks at the loss: each waits for the device."""


class Progress:
    """A bar over all samples of a run, with loss, accuracy and samples per second.

    Parameters
    ----------
    samples : int
        How many there will be.
    shown : bool
        Whether to show it.
    """

    def __init__(self, samples: int, shown: bool) -> None:
        self._bar: Any = None
        if shown and sys.stderr is not None:
            tqdm = import_extra("tqdm.auto", "the progress bar (progress=False goes without)")
            with suppress(OSError):
                self._bar = tqdm.tqdm(
                    total=samples, unit=" samples", unit_scale=True, dynamic_ncols=True
                )
        self._accuracy: float | None = None
        self._next = time.perf_counter() + INTERVAL
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

    def advance(self, samples: int, loss: Array) -> None:
        """Count the samples of a step; look at its loss if it is time to."""
        if self._bar is None:
            return
        self._waiting += samples
        if time.perf_counter() >= self._next:
            self._show(float(loss))
            self._next = time.perf_counter() + INTERVAL

    def end_epoch(self, loss: float, accuracy: float | None) -> None:
        """Show what an epoch ended with."""
        self._accuracy = accuracy
        if self._bar is not None:
            self._show(loss)

    def _show(self, loss: float) -> None:
        accuracy = "" if self._accuracy is None else f", accuracy {self._accuracy:.4f}"
        try:
            self._bar.set_postfix_str(f"loss {loss:.4f}{accuracy}", refresh=False)
            self._bar.update(self._waiting)
        except OSError:  # who looked at it has gone: no reason to stop training
            self._bar = None
        self._waiting = 0
