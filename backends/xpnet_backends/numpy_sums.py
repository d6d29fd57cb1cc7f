"""Vectors added up over processes, on NumPy: where they lie, also within a step that is recorded."""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnet_backends.numpy_recording import in_place

__all__ = ["NumpySums"]


class NumpySums:
    """See `xpnet.Backend.sums`.

    Parameters
    ----------
    messages : xpnet._sums.Messages
        Carries the vectors.
    """

    def __init__(self, messages: Any) -> None:
        self._start, self._finish = in_place(messages.start), in_place(messages.finish)

    def start(self, flat: Any) -> Any:
        """Begin to add up a vector; it is held as well, so that its memory is not used for another."""
        received = np.empty_like(flat)
        self._start(flat, received)
        return flat, received

    def finish(self, started: Any) -> Any:
        """Give the sum."""
        _, received = started
        self._finish(received)
        return received

    def wait(self) -> None:
        """Return at once: steps are done when they return."""

    def close(self, whole: bool) -> None:
        """Do nothing: there is nothing to give back."""
