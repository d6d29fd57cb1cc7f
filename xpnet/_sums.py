"""Vectors added up over processes: what a backend may do in its own way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from xpnet.functional._array import Array

if TYPE_CHECKING:
    from xpnet._backend import Backend

__all__ = ["HostSums", "Messages", "Sums"]


class Messages(Protocol):
    """What carries vectors of the host between processes, of which this one has a number, from 0."""

    rank: int
    size: int

    def start(self, sent: NDArray[Any], received: NDArray[Any]) -> None:
        """Begin to add up a vector into another one, neither of which is changed until `finish`."""

    def finish(self, received: NDArray[Any]) -> None:
        """Wait until a sum is there."""

    def check(self) -> None:
        """Raise an error if another process has failed."""

    def broadcast(self, value: Any) -> Any:
        """Give what process 0 has given here: text, numbers, lists."""

    def gather(self, value: Any) -> list[Any]:
        """Give what each process has given here: text, numbers, lists."""


class Sums(Protocol):
    """Vectors added up over all processes, in the order in which they are started, the same in all of them."""

    def start(self, flat: Array) -> Any:
        """Begin to add up a vector; give what `finish` is to be handed, once."""

    def finish(self, started: Any) -> Array:
        """Give the sum."""

    def wait(self) -> None:
        """Wait until the steps that were asked for are done, or another process has failed."""

    def close(self, whole: bool) -> None:
        """Give back what the sums have taken; `whole` if all processes do, and none has failed."""


class HostSums:
    """Sums by way of the host.

    Parameters
    ----------
    backend : Backend
        Of the vectors.
    messages : Messages
        Carries them.
    """

    def __init__(self, backend: Backend, messages: Messages) -> None:
        self._backend, self._messages = backend, messages

    def start(self, flat: Array) -> Any:
        """Copy a vector to the host, and begin to add it up."""
        sent = np.ascontiguousarray(self._backend.to_numpy(flat))
        received = np.empty_like(sent)
        self._messages.start(sent, received)
        return received

    def finish(self, started: Any) -> Array:
        """Copy the sum back."""
        self._messages.finish(started)
        return self._backend.asarray(started)

    def wait(self) -> None:
        """Return at once: where sums are waited for, failures are heard of."""

    def close(self, whole: bool) -> None:
        """Do nothing: there is nothing to give back."""
