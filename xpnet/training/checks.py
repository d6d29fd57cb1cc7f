"""What is checked once at the start and once an epoch: each look waits for the device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xpnet.backend import Backend
from xpnet.functional._array import Array, array_namespace, device, sum_dtype
from xpnet.functional.labels import is_one_hot
from xpnet.networks import Network

__all__ = ["NonFiniteLossError", "all_finite", "checked_labels", "mean_loss"]


class NonFiniteLossError(ValueError):
    """The loss became NaN or infinite."""


def checked_labels(which: str, network: Network, x: Array, t: Array) -> Array:
    """Give the labels, if the network can be trained on them and `x`; else a ValueError in words.

    Class numbers get the dtype of the library's own indices: not every one can take rows of, say,
    uint16.
    """
    xp = array_namespace(x, t)
    wanted_device = device(next(iter(network.params.values())))
    for name, a in (("x", x), ("t", t)):
        if device(a) != wanted_device:
            raise ValueError(f"{which} data: {name} wanted on {wanted_device}, as the network; "
                             f"got it on {device(a)}")
    y = network.bind({}).predict(x[:1, ...])
    if y.ndim != 2:
        raise ValueError(f"fit trains a single network; this one gives scores {tuple(y.shape)} "
                         "for one row")
    rows, classes = x.shape[0], y.shape[-1]
    one_hot = is_one_hot(t, y.ndim)
    wanted = (rows, classes) if one_hot else (rows,)
    if tuple(t.shape) != wanted:
        raise ValueError(f"{which} data: labels of shape {wanted} wanted for {rows} rows and "
                         f"{classes} classes; got {tuple(t.shape)} {t.dtype}")
    if xp.isdtype(x.dtype, "real floating") and not all_finite([x]):
        raise ValueError(f"{which} data: finite numbers wanted; x holds NaN or infinity")
    if rows and not one_hot:
        t = xp.astype(t, xp.argmax(y, axis=-1).dtype, copy=False)
        low, high = int(xp.min(t)), int(xp.max(t))
        if low < 0 or high >= classes:
            raise ValueError(f"{which} data: labels from 0 to {classes - 1} wanted; "
                             f"got {low} to {high}")
    return t


def mean_loss(backend: Backend, losses: Sequence[Array], epoch: int) -> float:
    """Read the losses of an epoch, and give their mean.

    Raises
    ------
    NonFiniteLossError
        If one is not finite, with the step.
    """
    xp = array_namespace(losses[0])
    stack = xp.stack(losses)
    host = backend.to_numpy(xp.astype(stack, sum_dtype(stack)))
    if not np.isfinite(host).all():
        step = int(np.argmin(np.isfinite(host)))
        raise NonFiniteLossError(f"the loss became {host[step]} at step {step + 1} of epoch "
                                 f"{epoch}: a smaller learning rate may help")
    return float(host.mean(dtype=np.float64))


def all_finite(arrays: Sequence[Array]) -> bool:
    """Tell whether all elements of some arrays are finite, in one look."""
    xp = array_namespace(*arrays)
    return bool(xp.all(xp.stack([xp.all(xp.isfinite(a)) for a in arrays])))
