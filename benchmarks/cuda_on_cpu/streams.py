"""`cupy.cuda.Stream`, `Event` and `Graph`. Work is done at once, in the order in which it is asked for."""
# ruff: noqa: D102, D103, methods and functions are CuPy's, which documents them

from __future__ import annotations

import itertools
import time
from typing import Any, ClassVar, Self

from benchmarks.cuda_on_cpu.capture import Capture, Node, captures, current, refuse_waiting, submit
from benchmarks.cuda_on_cpu.errors import CUDARuntimeError

__all__ = ["Event", "Graph", "Stream", "get_current_stream", "get_elapsed_time"]


class Event:
    """A moment in a stream."""

    def __init__(self, block: bool = False, disable_timing: bool = False,
                 interprocess: bool = False) -> None:
        self.disable_timing = disable_timing
        self._time: float | None = None
        self._captured_by = 0

    def record(self, stream: Stream | None = None) -> None:
        stream = get_current_stream() if stream is None else stream
        capturing = stream.is_capturing()
        self._captured_by = stream.ptr if capturing else 0
        self._time = None if capturing else time.perf_counter()

    def synchronize(self) -> None:
        if self._captured_by:
            refuse_waiting(stream=self._captured_by)

    @property
    def done(self) -> bool:
        self.synchronize()
        return True


def get_elapsed_time(start: Event, end: Event) -> float:
    """Give the milliseconds between two events."""
    if start._time is None or end._time is None or start.disable_timing or end.disable_timing:
        raise CUDARuntimeError(600)
    return (end._time - start._time) * 1e3


class Stream:
    """A queue of work on a device."""

    null: ClassVar[Stream]
    ptds: ClassVar[Stream]
    _pointers = itertools.count(0x7E000010, 16)

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False,
                 priority: int | None = None) -> None:
        self.ptr: int = 0 if null else 2 if ptds else next(Stream._pointers)
        self.device_id = -1 if null or ptds else current.device
        self.is_non_blocking = non_blocking
        self.priority = priority or 0
        self._before: list[tuple[int, Stream | None]] = []

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and self.ptr == other.ptr

    def __hash__(self) -> int:
        return self.ptr

    def __repr__(self) -> str:
        return f"<Stream {self.ptr} (device {self.device_id})>"

    def __enter__(self) -> Self:
        self._before.append((current.device, current.streams.get(current.device)))
        return self.use()

    def __exit__(self, *_: object) -> None:
        device, stream = self._before.pop()
        current.streams[device] = stream

    def use(self) -> Self:
        if self.device_id not in (-1, current.device):
            raise RuntimeError(f"The device that the stream is created on ({self.device_id}) does not "
                               f"match with the current device ({current.device})")
        current.streams[current.device] = self
        return self

    @property
    def done(self) -> bool:
        refuse_waiting(stream=self.ptr)
        return True

    def synchronize(self) -> None:
        refuse_waiting(stream=self.ptr)

    def record(self, event: Event | None = None) -> Event:
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Do nothing: work is done in the order in which it is asked for."""

    def is_capturing(self) -> bool:
        return self.ptr in captures

    def begin_capture(self, mode: int | None = None) -> None:
        if self.ptr in (0, 1):
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if self.ptr in captures:
            raise CUDARuntimeError(900)
        captures[self.ptr] = Capture(self.device_id)

    def end_capture(self) -> Graph:
        if self.ptr not in captures:
            raise CUDARuntimeError(901)
        capture = captures.pop(self.ptr)
        if capture.invalid:
            raise CUDARuntimeError(901)
        return Graph._of(capture.nodes)


Stream.null = Stream(null=True)
Stream.ptds = Stream(ptds=True)


def get_current_stream(device_id: int = -1) -> Stream:
    device = current.device if device_id == -1 else device_id
    return current.streams.get(device) or Stream.null


class Graph:
    """Captured work, to be done whenever it is launched."""

    _nodes: list[Node]

    def __init__(self) -> None:
        raise NotImplementedError("currently this class cannot be initiated by the user and must be "
                                  "created via stream capture")

    @classmethod
    def _of(cls, nodes: list[Node]) -> Graph:
        graph = cls.__new__(cls)
        graph._nodes = nodes
        return graph

    def launch(self, stream: Any = None) -> None:
        submit("GRAPH", "graph", self._run, None if stream is None else stream.ptr)

    def upload(self, stream: Any = None) -> None:
        """Do nothing: there is nowhere to upload it to."""

    def debug_dot_str(self, flags: int = 0) -> str:
        lines = [f'"graph_1_node_{k}"[shape="rectangle" label="{k}\n{node.kind}\n{node.name}"];'
                 for k, node in enumerate(self._nodes)]
        lines += [f'"graph_1_node_{k}" -> "graph_1_node_{k + 1}";' for k in range(len(lines) - 1)]
        return "\n".join(["digraph dot {", 'subgraph cluster_1 {', 'label="graph_1"', *lines, "}", "}"])

    def _run(self) -> None:
        for node in self._nodes:
            node.run()
