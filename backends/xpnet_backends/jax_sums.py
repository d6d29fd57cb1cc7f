"""Vectors added up over processes, on JAX: by calls to the host from within a compiled step."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import jax
from jax.experimental import io_callback

__all__ = ["JaxSums"]


class JaxSums:
    """See `xpnet.Backend.sums`.

    The calls are made in the order in which they were traced, in each process the same.

    Parameters
    ----------
    messages : xpnet._sums.Messages
        Carries the vectors.
    """

    def __init__(self, messages: Any) -> None:
        self._messages = messages
        self._numbers = itertools.count()
        self._received: dict[int, Any] = {}

    def start(self, flat: Any) -> Any:
        """Begin to add up a vector."""
        number = next(self._numbers)
        io_callback(functools.partial(self._start, number), None, flat, ordered=True)
        return number, jax.ShapeDtypeStruct(flat.shape, flat.dtype)

    def finish(self, started: Any) -> Any:
        """Give the sum."""
        number, like = started
        return io_callback(functools.partial(self._finish, number), like, ordered=True)

    def wait(self) -> None:
        """Return at once: where sums are waited for, failures are heard of."""

    def close(self, whole: bool) -> None:
        """Do nothing: there is nothing to give back."""

    def _start(self, number: int, flat: Any) -> None:
        sent = jax.device_get(flat)
        self._received[number] = received = sent.copy()  # like it, and may be written
        self._messages.start(sent, received)

    def _finish(self, number: int) -> Any:
        received = self._received.pop(number)
        self._messages.finish(received)
        return received
