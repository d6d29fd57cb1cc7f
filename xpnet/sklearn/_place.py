"""Where an estimator computes, and where its data lie: everything follows X."""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnet.backend import Backend, backend_of, get_backend
from xpnet.functional._array import Array

__all__ = ["Place", "library_of"]


def library_of(X: Array) -> Backend:
    """Give the library and device of what validation made of X; of a sparse matrix, NumPy."""
    return get_backend("numpy") if hasattr(X, "tocsr") else backend_of(X)


class Place:
    """Moves arrays to the library of X, and to where is computed.

    Parameters
    ----------
    X : array or sparse matrix
        The data, validated.
    device : str, optional
        Where to compute, as `xpnet.get_backend` takes it; by default where X is.

    Raises
    ------
    ValueError
        If that is elsewhere than X, and X is no NumPy array: then moving it is the caller's decision.
    """

    def __init__(self, X: Array, device: str | None) -> None:
        self.library = library_of(X)
        self.backend = self.library if device is None else get_backend(device)
        self.moves = self.backend != self.library
        if self.moves and self.library.name != "numpy":
            raise ValueError(f"device={device!r} moves NumPy arrays to {self.backend}; X lies on "
                             f"{self.library}: move it yourself, or leave device out")

    def follow(self, a: Array) -> Array:
        """Give labels or weights of any library in that of X."""
        own = backend_of(a)
        if own == self.library:
            return a
        host = own.to_numpy(a)
        # PyTorch can do little with unsigned numbers of more than 8 bits.
        return moved(host.astype(np.int64) if host.dtype.kind == "u" else host, self.library)

    def bring(self, a: Array, dtype: Any = None) -> Array:
        """Give an array of the library of X where is computed."""
        if self.moves:
            return moved(a, self.backend, dtype)
        if dtype is not None and a.dtype != dtype:
            return self.backend.namespace.astype(a, dtype)
        return a


def moved(a: Any, backend: Backend, dtype: Any = None) -> Array:
    """Give a NumPy array elsewhere, whatever its strides and byte order, which not every library takes."""
    return backend.asarray(np.ascontiguousarray(a, a.dtype.newbyteorder("=")), dtype)
