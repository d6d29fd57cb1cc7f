"""Copies from the GPU to the host: counted, refused where one wishes, and always while capturing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.cuda_on_cpu.capture import current_capture, refuse_waiting
from benchmarks.cuda_on_cpu.errors import HostCopyError

__all__ = ["host_copies", "note_copy_from_host", "note_host_copy", "refusing_host_copies"]


class HostCopies:
    """How many copies to the host there were, by `get`, `asnumpy`, `float`, `bool` or printing."""

    def __init__(self) -> None:
        self.count = 0
        self.refused = False

    def reset(self) -> None:
        """Count from 0 again."""
        self.count = 0

    def __int__(self) -> int:
        return self.count

    def __repr__(self) -> str:
        return f"<{self.count} copies to the host>"


host_copies = HostCopies()


@contextmanager
def refusing_host_copies() -> Iterator[None]:
    """Raise `HostCopyError` at each copy to the host within `with`."""
    before, host_copies.refused = host_copies.refused, True
    try:
        yield
    finally:
        host_copies.refused = before


def note_host_copy() -> None:
    """Count a copy to the host, or refuse it."""
    if host_copies.refused:
        raise HostCopyError("a copy to the host, which waits for the GPU")
    if current_capture() is not None:
        raise RuntimeError("the current stream is capturing, so D2H transfers are disallowed")
    refuse_waiting()
    host_copies.count += 1


def note_copy_from_host() -> None:
    """Refuse a copy from the host while capturing, as CuPy does before it asks CUDA."""
    if current_capture() is not None:
        raise RuntimeError("the current stream is capturing, so H2D transfers are disallowed")
