"""Rows to train on: on the device, or on the host and brought in batch by batch."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xpnet.backend import Backend
from xpnet.functional._array import Array, array_namespace, sum_dtype

__all__ = ["Batch", "Data", "lies_on_host", "widened"]

Batch: TypeAlias = tuple[dict[str, Array], Array]
"""Arrays, and the numbers of the batch's rows in them, or None where they are the batch."""

AHEAD = 2
"""Batches prepared while one computes."""


def widened(a: Array) -> Array:
    """Give floating numbers of 16 bits, which NumPy may not know, as float32."""
    xp = array_namespace(a)
    return xp.astype(a, sum_dtype(a), copy=False) if xp.isdtype(a.dtype, "real floating") else a


def lies_on_host(x: Array, backend: Backend) -> bool:
    """Tell whether to bring rows to the device in batches: files, and NumPy's arrays for others."""
    return isinstance(x, np.memmap) or (isinstance(x, np.ndarray) and backend.name != "numpy")


class Data:
    """Inputs, labels and weights, row by row.

    Parameters
    ----------
    backend : Backend
        Where to compute.
    arrays : dict
        "x", "t" and, if rows count differently, "weight"; each `(N, …)`.
    index : numpy.ndarray, optional
        Which of the rows these are; by default all.
    """

    def __init__(
        self, backend: Backend, arrays: dict[str, Array], index: NDArray[Any] | None = None
    ) -> None:
        self._backend, self._index = backend, index
        self.rows = arrays["x"].shape[0] if index is None else len(index)
        self._streams = lies_on_host(arrays["x"], backend)
        if self._streams:  # the rest is small beside x, and goes with it
            arrays = {name: a if isinstance(a, np.ndarray) else backend.to_numpy(a)
                      for name, a in arrays.items()}
        self.arrays = arrays

    def take(self, rows: NDArray[Any]) -> Data:
        """Give some of the rows, without a copy."""
        return Data(self._backend, self.arrays, self._numbers(rows))

    def part(self, name: str, lo: int, hi: int) -> Array:
        """Give rows of one of the arrays, on the device."""
        a = self.arrays[name]
        if self._index is None and not self._streams:
            return a[lo:hi, ...]
        rows = self._numbers(np.arange(lo, hi))
        if self._streams:
            return self._moved(a, rows)
        return array_namespace(a).take(a, self._backend.asarray(rows), axis=0)

    def on_host(self, name: str) -> NDArray[Any]:
        """Give one of the arrays as NumPy's."""
        a = self.arrays[name] if self._streams else self._backend.to_numpy(self.arrays[name])
        return np.asarray(a if self._index is None else a[self._index])

    def rows_on_host(self, name: str, rows: NDArray[Any]) -> NDArray[Any]:
        """Give some rows of one of the arrays as NumPy's."""
        a, numbers = self.arrays[name], self._numbers(rows)
        if isinstance(a, np.ndarray):
            return np.asarray(a[numbers])
        taken = array_namespace(a).take(a, self._backend.asarray(numbers), axis=0)
        return self._backend.to_numpy(widened(taken))

    def batches(self, order: NDArray[Any], first: int) -> Iterator[Batch]:
        """Give the batches of an epoch, from the one of this number on.

        Parameters
        ----------
        order : numpy.ndarray
            As `epoch_batches` gives it.
        first : int
            How many batches to leave out.
        """
        if self._streams:
            yield from _ahead(self._gathered(rows) for rows in order[first:])
            return
        for rows in self._backend.parts(self._numbers(order), first):
            yield self.arrays, rows

    def _gathered(self, rows: NDArray[Any]) -> Batch:
        numbers = self._numbers(rows)
        return {name: self._moved(a, numbers) for name, a in self.arrays.items()}, None

    def _moved(self, a: NDArray[Any], numbers: NDArray[Any]) -> Array:
        """Bring rows to the device; of a file, perhaps in the other order of bytes."""
        rows = np.asarray(a[numbers])
        return self._backend.asarray(rows.astype(rows.dtype.newbyteorder("="), copy=False))

    def _numbers(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Give the numbers that rows have in the arrays."""
        return rows if self._index is None else self._index[rows]


def _ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Give what an iterator gives, which a thread of its own has run ahead by a little."""
    # One more waits in the thread's hands.
    ready: queue.Queue[Batch | BaseException | None] = queue.Queue(AHEAD - 1)
    stop = threading.Event()

    def put(item: Batch | BaseException | None) -> None:
        while not stop.is_set():
            with suppress(queue.Full):
                ready.put(item, timeout=0.1)
                return

    def prepare() -> None:
        try:
            for batch in batches:
                put(batch)
                if stop.is_set():
                    return
            put(None)
        except BaseException as error:  # noqa: BLE001  it is raised where the batch is wanted
            put(error)

    thread = threading.Thread(target=prepare, daemon=True, name="xpnet batches")
    try:
        thread.start()
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        if thread.ident is not None:  # else an interrupt came before it began
            thread.join()
