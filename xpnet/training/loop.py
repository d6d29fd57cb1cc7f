"""The training loop."""

from __future__ import annotations

import time

from xpnet.backend import backend_of
from xpnet.functional._array import Array
from xpnet.networks import Network
from xpnet.training.batches import epoch_batches
from xpnet.training.checks import NonFiniteLossError, all_finite, checked_labels, mean_loss
from xpnet.training.history import Epoch, History
from xpnet.training.progress import Progress
from xpnet.training.step import Optimizer, evaluation, training_step

__all__ = ["fit"]


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
        To be appended to and returned: epochs are counted on from its last, and what is in it stays
        if training is interrupted.

    Returns
    -------
    History
        Loss, accuracy and speed of each epoch.

    Raises
    ------
    ValueError
        If shapes do not fit, inputs are not finite, or labels lie outside the classes.
    NonFiniteLossError
        If the loss or a parameter became NaN or infinite. The network holds the parameters that the
        last whole epoch left.
    KeyboardInterrupt
        On Ctrl-C. The network holds what was learnt so far.
    """
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"fit wants {name} to be a whole number above 0; got {value}")
    backend = backend_of(next(iter(network.params.values())))
    t = checked_labels("training", network, x, t)
    rows = x.shape[0]
    if batch_size > rows:
        raise ValueError(f"fit wants at least one batch; got batch_size {batch_size} "
                         f"for {rows} rows")
    if validation is not None:
        validation = validation[0], checked_labels("validation", network, *validation)
    history = History() if history is None else history
    before = history.epochs[-1] if history.epochs else None
    first = before.epoch + 1 if before else 1
    start = time.perf_counter() - (before.seconds if before else 0)
    step = backend.compile(training_step(network, optimizer))
    evaluate = backend.compile(evaluation(network))
    params = dict(network.params)
    state = optimizer.init(params)

    with Progress(epochs * (rows // batch_size) * batch_size, progress) as bar:
        try:
            for epoch in range(first, first + epochs):
                epoch_start, losses = time.perf_counter(), []
                batches = backend.asarray(epoch_batches(rows, batch_size, seed, epoch))
                for i in range(batches.shape[0]):
                    params, state, loss = step(params, state, x, t, batches[i, ...])
                    losses.append(loss)
                    bar.advance(batch_size, loss)
                mean = mean_loss(backend, losses, epoch)
                if not all_finite(list(params.values())):
                    raise NonFiniteLossError(f"the last step of epoch {epoch} made parameters NaN "
                                             "or infinite: a smaller learning rate may help")
                speed = batch_size * len(losses) / (time.perf_counter() - epoch_start)
                accuracy = None if validation is None else float(evaluate(params, *validation))
                network.params.update(params)
                seconds = time.perf_counter() - start
                history.epochs.append(Epoch(epoch, mean, accuracy, seconds, speed))
                bar.end_epoch(mean, accuracy)
        except KeyboardInterrupt:
            if all_finite(list(params.values())):
                network.params.update(params)
            raise
    return history
