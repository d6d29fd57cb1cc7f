"""The training loop."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from xpnet.backend import backend_of
from xpnet.functional._array import Array, array_namespace
from xpnet.functional.labels import is_one_hot
from xpnet.networks import Network
from xpnet.training.batches import epoch_batches
from xpnet.training.history import Epoch, History
from xpnet.training.progress import Progress
from xpnet.training.step import Optimizer, evaluation, training_step

__all__ = ["NonFiniteLossError", "fit"]


class NonFiniteLossError(ValueError):
    """The loss became NaN or infinite."""


def fit(
    network: Network,
    x: Array,
    t: Array,
    *,
    optimizer: Optimizer,
    epochs: int,
    batch_size: int,
    seed: int = 0,
    validation: tuple[Array, Array] | None = None,
    progress: bool = True,
    history: History | None = None,
) -> History:
    """Train a network in place.

    The step is compiled by the backend of the network's parameters. The loss is read back once an
    epoch, and for the progress bar five times a second.

    Parameters
    ----------
    network : Network
        A single network, not a stack.
    x, t : array
        Inputs `(N, …)` and labels, class numbers `(N,)` or one-hot rows `(N, C)`, of the network's
        library and on its device.
    optimizer : Optimizer
        What makes new parameters of gradients, as `xpnet.SGD`.
    epochs : int
        How many times to go through the data.
    batch_size : int
        Rows of a step. Rows that do not fill a batch are left out, others in each epoch.
    seed : int
        Of the order of the rows.
    validation : (x, t), optional
        Data to measure the accuracy on after each epoch.
    progress : bool
        Whether to show a progress bar (extra `train`).
    history : History, optional
        To be appended to and returned; what is in it stays if training is interrupted.

    Returns
    -------
    History
        Loss, accuracy and speed of each epoch.

    Raises
    ------
    ValueError
        If shapes do not fit, or labels lie outside the classes.
    NonFiniteLossError
        If the loss became NaN or infinite. The network holds the parameters that the last whole
        epoch left.
    KeyboardInterrupt
        On Ctrl-C. The network holds what was learnt so far.
    """
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"fit wants {name} above 0; got {value}")
    backend = backend_of(next(iter(network.params.values())))
    _check_data("training", network, x, t)
    if batch_size > x.shape[0]:
        raise ValueError(f"fit wants at least one batch; got batch_size {batch_size} "
                         f"for {x.shape[0]} rows")
    if validation is not None:
        _check_data("validation", network, *validation)
    history = History() if history is None else history
    step = backend.compile(training_step(network, optimizer))
    evaluate = backend.compile(evaluation(network))
    params = last_epoch = dict(network.params)
    state = optimizer.init(params)
    losses: list[Array] = []
    start = time.perf_counter()

    with Progress(epochs * (x.shape[0] // batch_size) * batch_size, progress) as bar:
        try:
            for epoch in range(1, epochs + 1):
                losses, last_epoch, epoch_start = [], params, time.perf_counter()
                batches = backend.asarray(epoch_batches(x.shape[0], batch_size, seed, epoch))
                for i in range(batches.shape[0]):
                    params, state, loss = step(params, state, x, t, batches[i, ...])
                    losses.append(loss)
                    bar.advance(batch_size, loss)
                mean = float(np.mean(_finite(backend.to_numpy(_stack(losses)), epoch)))
                speed = batch_size * len(losses) / (time.perf_counter() - epoch_start)
                accuracy = None if validation is None else float(evaluate(params, *validation))
                network.params.update(params)
                seconds = time.perf_counter() - start
                history.epochs.append(Epoch(epoch, mean, accuracy, seconds, speed))
                bar.end_epoch(mean, accuracy)
        except KeyboardInterrupt:
            sound = not losses or np.isfinite(backend.to_numpy(_stack(losses))).all()
            network.params.update(params if sound else last_epoch)
            raise
    return history


def _stack(losses: list[Array]) -> Array:
    return array_namespace(*losses[:1]).stack(losses)


def _finite(losses: np.ndarray[Any, Any], epoch: int) -> np.ndarray[Any, Any]:
    if not np.isfinite(losses).all():
        step = int(np.argmin(np.isfinite(losses)))
        raise NonFiniteLossError(f"the loss became {losses[step]} at step {step + 1} of epoch "
                                 f"{epoch}: a smaller learning rate may help")
    return losses


def _check_data(which: str, network: Network, x: Array, t: Array) -> None:
    """Check once what the steps rely on: it waits for the device."""
    xp = array_namespace(x, t)
    y = network.bind({}).predict(x[:1, ...])
    if y.ndim != 2:
        raise ValueError(f"fit trains a single network; this one gives scores {tuple(y.shape)} "
                         "for one row")
    rows, classes = x.shape[0], y.shape[-1]
    wanted = (rows, classes) if is_one_hot(t, y.ndim) else (rows,)
    if tuple(t.shape) != wanted:
        raise ValueError(f"{which} data: labels of shape {wanted} wanted for {rows} rows and "
                         f"{classes} classes; got {tuple(t.shape)} {t.dtype}")
    if rows and not is_one_hot(t, y.ndim):
        low, high = int(xp.min(t)), int(xp.max(t))
        if low < 0 or high >= classes:
            raise ValueError(f"{which} data: labels from 0 to {classes - 1} wanted; "
                             f"got {low} to {high}")
