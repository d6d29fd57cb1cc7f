"""What is checked once, when data come in: each look waits for the device."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from xpnet.backend import Backend, backend_of
from xpnet.distributed import Ranks
from xpnet.functional._array import Array, array_namespace, device
from xpnet.functional.labels import is_one_hot
from xpnet.losses import MeanSquaredError, SoftmaxWithLoss
from xpnet.networks import Network
from xpnet.training.data import Data, lies_on_host

__all__ = ["check_classes", "check_weights", "checked_data", "finite"]

CHUNK = 2**24
"""Elements of a file looked at at a time."""
REAL = ("bool", "integral", "real floating")


def checked_data(
    which: str, network: Network, x: Array, t: Array, weight: Array | None, ranks: Ranks | None = None
) -> tuple[Backend, Data]:
    """Give the data in a form to train on, if the network can be trained on them; else a ValueError.

    Of several ranks, each looks at the inputs of its part of the rows.

    Class numbers get the dtype of the library's own indices: not every one can take rows of, say,
    uint16.
    """
    if not len(network.params):
        raise ValueError("a network with parameters is wanted; this one has none")
    like = next(iter(network.params.values()))
    backend = backend_of(like)
    arrays = {"x": x, "t": t} if weight is None else {"x": x, "t": t, "weight": weight}
    for name, a in arrays.items():
        if not hasattr(a, "shape") or a.ndim < 1:
            raise ValueError(f"{which} data: {name} wants to be an array of rows; got {a!r:.60}")
        if not (isinstance(a, np.ndarray) and lies_on_host(x, backend)):
            array_namespace(like, a)
            if device(a) != device(like):
                raise ValueError(f"{which} data: {name} wanted on {device(like)}, as the network; "
                                 f"got it on {device(a)}")
        if not array_namespace(a).isdtype(a.dtype, REAL):
            raise TypeError(f"{which} data: real numbers wanted; {name} is of dtype {a.dtype}")
        if a.shape[0] != x.shape[0]:
            raise ValueError(f"{which} data: as many rows of {name} as of x wanted, {x.shape[0]}; "
                             f"got {a.shape[0]}")
    if x.shape[0] == 0:
        raise ValueError(f"{which} data: at least one row wanted; got x of shape {tuple(x.shape)}")
    with backend.memory_errors():
        data = Data(backend, arrays)
        y = _scores_of_first_rows(which, network, data)
        _check_finite(which, "x", x, own=None if ranks is None else ranks.part(x.shape[0]))
        if isinstance(network.last_layer, SoftmaxWithLoss) and not is_one_hot(t, 2):
            data.arrays["t"] = _class_numbers(which, data, y)
        elif isinstance(network.last_layer, MeanSquaredError):
            _check_finite(which, "t", t)
        else:
            _check_finite(which, "t", t, 0, 1)
            if isinstance(network.last_layer, SoftmaxWithLoss):
                _check_shares(which, t)
        if weight is not None:
            _check_finite(which, "weight", weight, 0)
            check_weights(which, data)
    return backend, data


def check_weights(which: str, data: Data) -> None:
    """Refuse rows that all count nothing (ValueError)."""
    if "weight" in data.arrays and not data.on_host("weight").any():
        raise ValueError(f"{which} data: at least one row of a weight above 0 wanted; all are 0")


def _scores_of_first_rows(which: str, network: Network, data: Data) -> Array:
    """Give the scores of two rows, after having tried whether network, loss and labels fit."""
    axes = network.stack_axes
    first = {name: data.part(name, 0, min(2, data.rows)) for name in data.arrays}
    for name, a in first.items():
        _check_finite(which, name, a)
    if axes:
        first = {name: a[None, ...] for name, a in first.items()}
    bound = network.bind({})
    try:
        y = bound.predict(first["x"])
        if axes > 1 or y.ndim != 2 + axes:
            raise ValueError("fit trains a network, or a stack with one axis; this one gives "
                             f"scores {tuple(y.shape)} for the first rows")
        bound.last_layer.forward(y, first["t"], first.get("weight"))
    except (TypeError, ValueError) as error:
        shapes = ", ".join(f"{name} {tuple(a.shape)} {a.dtype}" for name, a in data.arrays.items())
        raise type(error)(f"{which} data ({shapes}): {error}") from None
    return y


def _class_numbers(which: str, data: Data, y: Array) -> Array:
    """Give class numbers of the dtype of the library's own indices, if they are in range."""
    t, classes = data.arrays["t"], y.shape[-1]
    xp = array_namespace(t)
    of_indices = np.int64 if isinstance(t, np.ndarray) else xp.argmax(y, axis=-1).dtype
    t = xp.astype(t, of_indices, copy=False)  # PyTorch finds no least of uint16
    low, high = int(xp.min(t)), int(xp.max(t))
    if low < 0 or high >= classes:
        raise ValueError(f"{which} data: labels from 0 to {classes - 1} wanted; "
                         f"got {low} to {high}")
    return t


def check_classes(network: Network, training: Data, validation: Data) -> None:
    """Refuse to validate on classes that nothing can be learnt of (ValueError)."""
    if isinstance(network.last_layer, SoftmaxWithLoss):
        missing = sorted(_classes(validation) - _classes(training))
        if missing:
            raise ValueError(f"validation data: labels that the training data have wanted; class "
                             f"{', '.join(map(str, missing))} occurs in validation only")


def _classes(data: Data) -> set[int]:
    t = data.on_host("t")
    return set((np.unique(t) if t.ndim == 1 else np.flatnonzero(t.max(axis=0) > 0)).tolist())


def _check_finite(
    which: str, name: str, a: Array, low: int | None = None, high: int | None = None, own: slice | None = None
) -> None:
    """Refuse NaN, infinity, and what lies outside a range (ValueError), in all rows or some."""
    xp = array_namespace(a)
    if xp.isdtype(a.dtype, "bool"):
        return
    for part in _parts(a, own):
        if xp.isdtype(a.dtype, "real floating") and not bool(xp.all(xp.isfinite(part))):
            raise ValueError(f"{which} data: finite numbers wanted; {name} holds NaN or infinity")
        below = low is not None and bool(xp.any(part < low))
        if below or (high is not None and bool(xp.any(part > high))):
            upper = "" if high is None else f" to {high}"
            raise ValueError(f"{which} data: {name} wants numbers from {low}{upper}; "
                             f"got {float(xp.min(part)):g} to {float(xp.max(part)):g}")


def _check_shares(which: str, t: Array) -> None:
    """Refuse rows that do not share 1 among the classes (ValueError)."""
    xp = array_namespace(t)
    for part in _parts(t):
        total = xp.sum(xp.astype(part, xp.float32), axis=-1)
        worst = float(xp.max(xp.abs(total - 1)))
        if worst > 1e-2:
            raise ValueError(f"{which} data: rows of t that sum to 1 wanted; one is {worst:g} off")


def _parts(a: Array, own: slice | None = None) -> Iterator[Array]:
    """Give some rows at a time."""
    rows = max(1, CHUNK // max(math.prod(a.shape[1:]), 1))
    first, last = (0, a.shape[0]) if own is None else (own.start, own.stop)
    for k in range(first, last, rows):
        yield a[k:min(k + rows, last), ...]


def finite(arrays: Sequence[Array], stack_axes: int = 0) -> bool:
    """Tell, in one look, whether all elements of some arrays are finite; of a stack, of some network.

    Parameters
    ----------
    arrays : sequence of array
        Of one library; at least one.
    stack_axes : int
        How many of their first axes are a stack's.
    """
    xp = array_namespace(*arrays)
    found = None
    for a in arrays:
        own = tuple(range(stack_axes, a.ndim))
        ok = xp.all(xp.isfinite(a), axis=own) if own else xp.isfinite(a)
        found = ok if found is None else found & ok
    return bool(xp.any(found))
