"""The rows of a sparse matrix, made dense a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from xpnet.backend import Backend
from xpnet.functional._array import Array
from xpnet.training.data import Batch, Data

__all__ = ["Rows", "rows_of"]


class Rows(Protocol):
    """Inputs, labels and weights, row by row: what `xpnet.training`'s `Data` has."""

    rows: int
    arrays: dict[str, Array]

    def take(self, rows: NDArray[Any]) -> Rows:
        """Give some of the rows."""

    def part(self, name: str, lo: int, hi: int) -> Array:
        """Give rows of one of the arrays, on the device."""

    def batches(self, order: NDArray[Any], first: int) -> Iterator[Batch]:
        """Give batches of these rows, `(batches, B)`."""


def rows_of(backend: Backend, X: Any, t: Array, weight: Array | None) -> Rows:
    """Give the rows of a dense or a sparse matrix, with labels and weights on the device."""
    arrays = {"t": t} if weight is None else {"t": t, "weight": weight}
    if hasattr(X, "tocsr"):
        return _SparseRows(backend, X, Data(backend, {"x": t, **arrays}))
    return Data(backend, {"x": X, **arrays})


class _SparseRows:
    def __init__(self, backend: Backend, X: Any, others: Data) -> None:
        self._backend, self._X, self._others = backend, X, others
        self.rows, self.arrays = X.shape[0], others.arrays

    def take(self, rows: NDArray[Any]) -> Rows:
        return _SparseRows(self._backend, self._X[rows], self._others.take(rows))

    def part(self, name: str, lo: int, hi: int) -> Array:
        return self._dense(self._X[lo:hi]) if name == "x" else self._others.part(name, lo, hi)

    def batches(self, order: NDArray[Any], first: int) -> Iterator[Batch]:
        for rows in order[first:]:
            arrays = {name: self._others.take(rows).part(name, 0, len(rows))
                      for name in self.arrays if name != "x"}
            yield {"x": self._dense(self._X[rows]), **arrays}, None

    def _dense(self, X: Any) -> Array:
        return self._backend.asarray(np.ascontiguousarray(X.toarray()))
