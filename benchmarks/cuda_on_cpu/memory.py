"""`cupy.cuda.MemoryPool`: blocks of the host's memory that are used again once nothing refers to them.

As in CuPy, a block that a graph was captured on goes back to its pool with the last array there, and the
next array may lie in it: a graph whose memory is not kept overwrites what others hold.
"""
# ruff: noqa: D102, D103, methods and functions are CuPy's, which documents them

from __future__ import annotations

import ctypes
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from benchmarks.cuda_on_cpu.capture import current, submit
from benchmarks.cuda_on_cpu.devices import DEVICE_BYTES, Device, bytes_taken
from benchmarks.cuda_on_cpu.errors import OutOfMemoryError
from benchmarks.cuda_on_cpu.host import note_copy_from_host, note_host_copy

__all__ = ["Memory", "MemoryPointer", "MemoryPool", "alloc", "check_address", "default_pool",
           "get_allocator", "set_allocator", "using_allocator"]

UNIT = 512
"""Bytes that memory comes in, and is aligned to."""
Block = np.ndarray[Any, np.dtype[np.uint8]]
_lent: dict[int, int] = {}
"""The sizes of all blocks that something refers to, by their addresses."""


class Memory:
    """A block, lent by a pool for as long as something refers to this."""

    def __init__(self, pool: MemoryPool, block: Block, device: int, stream: int) -> None:
        self._pool, self._stream = pool, stream
        self.block, self.device_id = block, device
        self.ptr: int = block.__array_interface__["data"][0]
        self.size = block.size
        _lent[self.ptr] = self.size

    @property
    def device(self) -> Device:
        return Device(self.device_id)

    def __del__(self) -> None:
        _lent.pop(self.ptr, None)
        self._pool._take_back(self.block, self.device_id, self._stream)


class MemoryPointer:
    """A place in a block."""

    def __init__(self, mem: Memory, offset: int) -> None:
        self.mem, self.ptr, self.device_id = mem, mem.ptr + offset, mem.device_id

    @property
    def device(self) -> Device:
        return Device(self.device_id)

    def __int__(self) -> int:
        return self.ptr

    def __add__(self, offset: int) -> MemoryPointer:
        return MemoryPointer(self.mem, self.ptr - self.mem.ptr + offset)

    __radd__ = __add__

    def __sub__(self, offset: int) -> MemoryPointer:
        return self + -offset

    def copy_from_device_async(self, src: MemoryPointer, size: int, stream: Any = None) -> None:
        self._move("MEMCPY", "copy_from_device", self, src, size, stream)

    copy_from_device = copy_from_device_async

    def copy_from_host_async(self, mem: Any, size: int, stream: Any = None) -> None:
        note_copy_from_host()
        self._move("MEMCPY", "copy_from_host", self, mem, size, stream)

    copy_from_host = copy_from_host_async

    def copy_to_host_async(self, mem: Any, size: int, stream: Any = None) -> None:
        note_host_copy()
        self._move("MEMCPY", "copy_to_host", mem, self, size, stream)

    copy_to_host = copy_to_host_async

    def memset_async(self, value: int, size: int, stream: Any = None) -> None:
        self._check(size)
        ptr = self.ptr
        submit("MEMSET", "memset", lambda: _discard(ctypes.memset(ptr, value, size)), _ptr(stream))

    def _move(self, kind: str, name: str, dst: Any, src: Any, size: int, stream: Any) -> None:
        for place in (dst, src):
            if isinstance(place, MemoryPointer):
                place._check(size)
        to, of = (p if isinstance(p, int) else getattr(p, "ptr", None) or p.value for p in (dst, src))
        submit(kind, name, lambda: _discard(ctypes.memmove(to, of, size)), _ptr(stream))

    def _check(self, size: int) -> None:
        if self.ptr - self.mem.ptr + size > self.mem.size:
            raise ValueError(f"{size} bytes reach beyond their block of {self.mem.size}")


class MemoryPool:
    """Lends blocks, and keeps those given back for the same stream's next request of that size."""

    _taken = bytes_taken  # which is still there when Python ends, and pools with it

    def __init__(self, allocator: object = None) -> None:
        self._free: dict[tuple[int, int, int], list[Block]] = defaultdict(list)
        self._used: dict[int, int] = defaultdict(int)
        self._total: dict[int, int] = defaultdict(int)
        self._limit: dict[int, int] = defaultdict(int)

    def malloc(self, size: int) -> MemoryPointer:
        size = max(-(-size // UNIT), 1) * UNIT
        device, stream = current.device, current.stream
        free = self._free[device, stream, size]
        block = free.pop() if free else self._new(size, device)
        self._used[device] += size
        return MemoryPointer(Memory(self, block, device, stream), 0)

    def _new(self, size: int, device: int) -> Block:
        limit = self._limit[device]

        def fits() -> bool:
            return ((not limit or self._total[device] + size <= limit)
                    and self._taken.get(device, 0) + size <= DEVICE_BYTES)

        if not fits():
            self.free_all_blocks()
        if not fits():
            raise OutOfMemoryError(size, self._total[device], limit)
        try:
            room: Block = np.empty(size + UNIT, np.uint8)
        except MemoryError:
            raise OutOfMemoryError(size, self._total[device], limit) from None
        first = -room.__array_interface__["data"][0] % UNIT
        self._take(device, size)
        return room[first:first + size]

    def _take(self, device: int, size: int) -> None:
        self._total[device] += size
        self._taken[device] = self._taken.get(device, 0) + size

    def _take_back(self, block: Block, device: int, stream: int) -> None:
        self._free[device, stream, block.size].append(block)
        self._used[device] -= block.size

    def __del__(self) -> None:
        self.free_all_blocks()

    def free_all_blocks(self, stream: Any = None) -> None:
        """Give what is not lent back to the device."""
        for (device, ptr, size), free in list(self._free.items()):
            if stream is None or stream.ptr == ptr:
                self._take(device, -size * len(free))
                free.clear()

    def n_free_blocks(self) -> int:
        return sum(map(len, self._free.values()))

    def used_bytes(self) -> int:
        return self._used[current.device]

    def total_bytes(self) -> int:
        return self._total[current.device]

    def free_bytes(self) -> int:
        return self.total_bytes() - self.used_bytes()

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        self._limit[current.device] = int(fraction * DEVICE_BYTES) if fraction else size or 0

    def get_limit(self) -> int:
        return self._limit[current.device]


default_pool = MemoryPool()
Allocator = Callable[[int], MemoryPointer]
_allocator: ContextVar[Allocator | None] = ContextVar("allocator", default=None)
_default: list[Allocator] = [default_pool.malloc]


def get_allocator() -> Allocator:
    return _allocator.get() or _default[0]


def set_allocator(allocator: Allocator | None = None) -> None:
    if _allocator.get():
        raise ValueError("Can't change the global allocator inside `using_allocator` context manager")
    _default[0] = allocator or _plain


@contextmanager
def using_allocator(allocator: Allocator | None = None) -> Iterator[None]:
    """Allocate with another function within `with`."""
    token = _allocator.set(allocator or _plain)
    try:
        yield
    finally:
        _allocator.reset(token)


def alloc(size: int) -> MemoryPointer:
    return get_allocator()(size)


def check_address(address: int, size: int) -> None:
    """Refuse an address behind which there are not so many bytes of one array's block."""
    if not any(first <= address and address + size <= first + n for first, n in _lent.copy().items()):
        raise ValueError(f"{address:#x}, and {size} bytes from there, is not memory of an array")


def _plain(size: int) -> MemoryPointer:
    """Allocate without a pool: this one ends with the block."""
    return MemoryPool().malloc(size)


def _ptr(stream: Any) -> int | None:
    return None if stream is None else stream.ptr


def _discard(result: object) -> None:
    """Make a call a piece of work, which returns nothing."""
