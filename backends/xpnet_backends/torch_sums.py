"""Vectors added up over processes, on PyTorch on a CPU: where they lie, also within a step that is recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import handle_torch_function, has_torch_function

__all__ = ["TorchSums"]


class TorchSums:
    """See `xpnet.Backend.sums`.

    Parameters
    ----------
    messages : xpnet._sums.Messages
        Carries the vectors.
    """

    def __init__(self, messages: Any) -> None:
        def start(flat: Any, received: Any) -> Any:
            messages.start(flat.numpy(), received.numpy())  # whose memory these hold
            return received

        def finish(received: Any) -> Any:
            messages.finish(received.numpy())
            return received

        self._start, self._finish = _seen(start), _seen(finish)

    def start(self, flat: Any) -> Any:
        """Begin to add up a vector."""
        return self._start(flat, torch.empty_like(flat))

    def finish(self, started: Any) -> Any:
        """Give the sum."""
        return self._finish(started)

    def wait(self) -> None:
        """Return at once: steps are done when they return."""

    def close(self, whole: bool) -> None:
        """Do nothing: there is nothing to give back."""


def _seen(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function of tensors be seen, as one call, by whoever records PyTorch's functions."""
    def call(*tensors: Any) -> Any:
        if has_torch_function(tensors):
            return handle_torch_function(call, tensors, *tensors)
        return function(*tensors)

    return call
