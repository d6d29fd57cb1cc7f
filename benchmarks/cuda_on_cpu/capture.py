"""What is recorded while a stream captures: the work itself is done when the graph is launched."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from benchmarks.cuda_on_cpu.errors import CUDARuntimeError
from benchmarks.cuda_on_cpu.late import Late

__all__ = ["Capture", "Node", "captures", "current", "current_capture", "late_work", "refuse_waiting", "stuck",
           "submit"]


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
    """As CUDA calls it: KERNEL, MEMCPY, MEMSET or GRAPH; or WAIT, which in CUDA is an edge."""
    name: str
    run: Callable[[], None]
    stream: int
    number: int
    """The how-manieth of its stream; of a WAIT, the last that is waited for."""
    late: bool = False
    """Whether it is done as late as it may be."""


@dataclass
class Capture:
    """What a stream that captures has been asked for so far, and those that have come to wait for it."""

    device: int
    stream: int
    """Where it began."""
    nodes: list[Node] = field(default_factory=list)
    asked: Counter[int] = field(default_factory=Counter)
    """How much each stream was asked for."""
    joined: Counter[int] = field(default_factory=Counter)
    """How much of that is waited for."""
    invalid: bool = False
    over: bool = False

    def add(self, kind: str, name: str, run: Callable[[], None], stream: int, late: bool = False) -> None:
        """Take note of work on a stream; what is not late comes after what is."""
        if not late:
            self.wait(stream, self.asked[stream])
        self.asked[stream] += 1
        self.nodes.append(Node(kind, name, run, stream, self.asked[stream], late))

    def wait(self, stream: int, number: int) -> None:
        """Let what follows come after what a stream was asked for."""
        if any(node.late and node.stream == stream for node in self.nodes):
            self.nodes.append(Node("WAIT", "", lambda: None, stream, number))

    @property
    def whole(self) -> bool:
        """Whether the stream where it began waits for all others."""
        return all(self.joined[stream] >= n for stream, n in self.asked.items() if stream != self.stream)


captures: dict[int, Capture] = {}
"""By the pointers of the streams that capture."""
late_work = Late()
"""What streams that do not capture have been asked for and may do later."""
stuck: set[int] = set()
"""Devices, by their numbers, where something waits for ever."""


def current_capture() -> Capture | None:
    """Give the current stream's capture, if it captures."""
    return captures.get(current.stream) if captures else None


def submit(kind: str, name: str, run: Callable[[], None], stream: int | None = None, late: bool = False) -> None:
    """Do work on a stream, by default the current one: at once, or as part of a graph if it captures.

    What is late is done when something waits for it.
    """
    stream = current.stream if stream is None else stream
    capture = captures.get(stream) if captures else None
    if capture is not None:
        if capture.invalid:
            raise CUDARuntimeError(901)
        capture.add(kind, name, run, stream, late)
    elif late:
        late_work.put_off(stream, run)
    else:
        late_work.catch_up(stream)
        run()


def refuse_waiting(device: int | None = None, stream: int | None = None) -> None:
    """Refuse to wait for a stream that captures, or for its device; the capture is lost by that."""
    found = [
        capture for ptr, capture in captures.items() if ptr == stream or capture.device == device
    ]
    for capture in found:
        capture.invalid = True
    if found:
        raise CUDARuntimeError(900)
    if current.device in stuck:
        raise RuntimeError(f"this would wait for ever: device {current.device} waits for another process")
