"""`cupy.cuda.Stream`, `Event` and `Graph`.

Work is done at once, in the order in which it is asked for, but sums over several GPUs, which are done late.
"""
# ruff: noqa: D102, D103, methods and functions are CuPy's, which documents them

from __future__ import annotations

import itertools
import time
import weakref
from typing import Any, ClassVar, Self

from benchmarks.cuda_on_cpu.capture import (
    Capture,
    Node,
    captures,
    current,
    late_work,
    refuse_waiting,
    stuck,
    submit,
)
from benchmarks.cuda_on_cpu.devices import runtime
from benchmarks.cuda_on_cpu.errors import CUDARuntimeError
from benchmarks.cuda_on_cpu.late import Late

__all__ = ["Event", "Graph", "Stream", "get_current_stream", "get_elapsed_time"]


class Event:
    """A moment in a stream."""

    _pointers = itertools.count(0x7F000010, 16)

    def __init__(self, block: bool = False, disable_timing: bool = False,
                 interprocess: bool = False) -> None:
        self.ptr = next(Event._pointers)
        events[self.ptr] = self
        self.disable_timing = disable_timing
        self._time: float | None = None
        self._capture: Capture | None = None
        self._after = (0, 0)
        """The stream, and what it has to have done."""

    def record(self, stream: Stream | None = None) -> None:
        stream = get_current_stream() if stream is None else stream
        self._capture = capture = captures.get(stream.ptr)
        self._after = stream.ptr, (late_work if capture is None else capture).asked[stream.ptr]
        self._time = time.perf_counter() if capture is None else None

    def synchronize(self) -> None:
        self._refuse_captured()
        refuse_waiting()
        late_work.catch_up(*self._after)

    @property
    def done(self) -> bool:
        self._refuse_captured()
        late_work.catch_up(*self._after)
        return current.device not in stuck

    def _refuse_captured(self) -> None:
        if self._capture is not None:
            self._capture.invalid = True
            raise CUDARuntimeError(907)


events: weakref.WeakValueDictionary[int, Event] = weakref.WeakValueDictionary()
"""All events, by their pointers."""


def _query(event: int) -> int:
    return 0 if events[event].done else 600


runtime.eventQuery = _query  # type: ignore[attr-defined]


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
        by_pointer[self.ptr] = self

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
        late_work.catch_up(self.ptr)
        current.streams[current.device] = self
        return self

    @property
    def done(self) -> bool:
        refuse_waiting(stream=self.ptr)
        late_work.catch_up(self.ptr)
        return True

    def synchronize(self) -> None:
        refuse_waiting(stream=self.ptr)
        late_work.catch_up(self.ptr)

    def record(self, event: Event | None = None) -> Event:
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Let what follows come after an event; after one of a capture, this stream takes part in that."""
        own, other = captures.get(self.ptr), event._capture
        if other is None:
            if own is not None:
                own.invalid = True
                raise CUDARuntimeError(905)
            late_work.catch_up(*event._after)
            return
        if other.over or own not in (None, other):
            raise CUDARuntimeError(907 if other.over else 902)
        captures[self.ptr] = other
        stream, number = event._after
        other.wait(stream, number)
        if self.ptr == other.stream:
            other.joined[stream] = max(other.joined[stream], number)

    def is_capturing(self) -> bool:
        return self.ptr in captures

    def begin_capture(self, mode: int | None = None) -> None:
        if self.ptr in (0, 1):
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if self.ptr in captures:
            raise CUDARuntimeError(900)
        captures[self.ptr] = Capture(self.device_id, self.ptr)

    def end_capture(self) -> Graph:
        if self.ptr not in captures:
            raise CUDARuntimeError(901)
        capture = captures[self.ptr]
        if capture.stream != self.ptr:
            raise CUDARuntimeError(903)
        capture.over = True
        for ptr in [ptr for ptr, each in captures.items() if each is capture]:
            del captures[ptr]
        if capture.invalid:
            raise CUDARuntimeError(901)
        if not capture.whole:
            raise CUDARuntimeError(904)
        return Graph._of(capture.nodes)


by_pointer: weakref.WeakValueDictionary[int, Stream] = weakref.WeakValueDictionary()
"""All streams, by their pointers."""
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
        for node in nodes:
            for note in getattr(node.run, "keywords", {}).get("graphs", ()):
                note.add(graph)
        return graph

    def launch(self, stream: Any = None) -> None:
        submit("GRAPH", "graph", self._run, None if stream is None else stream.ptr)

    def upload(self, stream: Any = None) -> None:
        """Do nothing: there is nowhere to upload it to."""

    def debug_dot_str(self, flags: int = 0) -> str:
        lines = [f'"graph_1_node_{k}"[shape="rectangle" label="{k}\n{node.kind}\n{node.name}"];'
                 for k, node in enumerate(node for node in self._nodes if node.kind != "WAIT")]
        lines += [f'"graph_1_node_{k}" -> "graph_1_node_{k + 1}";' for k in range(len(lines) - 1)]
        return "\n".join(["digraph dot {", 'subgraph cluster_1 {', 'label="graph_1"', *lines, "}", "}"])

    def _run(self) -> None:
        late = Late()
        for node in self._nodes:
            if node.kind == "WAIT":
                late.catch_up(node.stream, node.number)
            elif node.late:
                late.put_off(node.stream, node.run, node.number)
            else:
                node.run()
        late.catch_up_all()
