"""What is recorded while a stream captures: the work itself is done when the graph is launched."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from benchmarks.cuda_on_cpu.errors import CUDARuntimeError

__all__ = ["Capture", "Node", "captures", "current", "current_capture", "refuse_waiting", "submit"]


class _Current(threading.local):
    """The current device of this thread, and its current stream on each device."""

    def __init__(self) -> None:
        self.device = 0
        self.streams: dict[int, Any] = {}

    @property
    def stream(self) -> int:
        stream = self.streams.get(self.device)
        return 0 if stream is None else stream.ptr


current = _Current()


class Node(NamedTuple):
    """A piece of work in a graph."""

    kind: str
    """As CUDA calls it: KERNEL, MEMCPY, MEMSET or GRAPH."""
    name: str
    run: Callable[[], None]


@dataclass
class Capture:
    """What a stream that captures has been asked for so far."""

    device: int
    nodes: list[Node] = field(default_factory=list)
    invalid: bool = False


captures: dict[int, Capture] = {}
"""By the pointers of the streams that capture."""


def current_capture() -> Capture | None:
    """Give the current stream's capture, if it captures."""
    return captures.get(current.stream) if captures else None


def submit(kind: str, name: str, run: Callable[[], None], stream: int | None = None) -> None:
    """Do work on a stream, by default the current one: at once, or as part of a graph if it captures."""
    capture = captures.get(current.stream if stream is None else stream) if captures else None
    if capture is None:
        run()
        return
    if capture.invalid:
        raise CUDARuntimeError(901)
    capture.nodes.append(Node(kind, name, run))


def refuse_waiting(device: int | None = None, stream: int | None = None) -> None:
    """Refuse to wait for a stream that captures, or for its device; the capture is lost by that."""
    found = [
        capture for ptr, capture in captures.items() if ptr == stream or capture.device == device
    ]
    for capture in found:
        capture.invalid = True
    if found:
        raise CUDARuntimeError(900)
