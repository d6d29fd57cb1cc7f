"""The training loop."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from xpnet._numbers import whole_number
from xpnet.distributed import Ranks
from xpnet.distributed.gradient_sum import GradientSum
from xpnet.distributed.interrupts import Interrupts
from xpnet.functional._array import Array
from xpnet.networks import Network
from xpnet.training.alike import check_run
from xpnet.training.batches import first_counter, split_rows
from xpnet.training.checkpoints import Checkpoints
from xpnet.training.checks import check_classes, check_weights, checked_data
from xpnet.training.evaluation import Evaluation, Metric, find_metrics
from xpnet.training.history import History
from xpnet.training.nested import copied
from xpnet.training.pace import Pace
from xpnet.training.progress import Progress
from xpnet.training.run import Run
from xpnet.training.settings import check_settings, checked_seed, is_share
from xpnet.training.shared_checkpoints import shared_checkpoints
from xpnet.training.step import Optimizer, first_carry, operations, training_step, with_kernels
from xpnet.training.stopping import EarlyStopping, Watch
from xpnet.training.trainer import Callback, Trainer

__all__ = ["fit"]


def fit(
    network: Network,
    x: Array,
    t: Array,
    *,
    optimizer: Optimizer,
    epochs: int,
    batch_size: int,
    seed: int | Sequence[int] = 0,
    validation: tuple[Array, Array] | float | None = None,
    sample_weight: Array | None = None,
    metrics: Sequence[str] | Mapping[str, Metric] | None = None,
    early_stopping: EarlyStopping | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoints: Checkpoints | str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: bool = True,
    history: History | None = None,
    comm: Any = None,
    sync_batchnorm: bool = True,
) -> History:
    """Train a network in place, or a stack of networks as one.

    The step is compiled by the backend of the network's parameters, with its fast kernels. The losses
    are read back five times a second.

    Parameters
    ----------
    network : Network
        A network, or a stack of K with one axis.
    x, t : array
        Inputs `(N, …)` and labels as the loss wants them: class numbers `(N,)`, rows `(N, C)`. Of the
        network's library and on its device; or NumPy's, a file's too (`numpy.memmap`), of which
        batches are then brought there, the next while one computes.
    optimizer : Optimizer
        What makes new parameters of gradients, as `xpnet.SGD`.
    epochs : int
        How many times to go through the data; of a run that is resumed, from its beginning.
    batch_size : int
        Rows of a step. Rows that do not fill a batch are left out, others in each epoch.
    seed : int or sequence of int
        Of all that is random: the order of the rows, dropout. K seeds give each network of a stack
        its own order. (A share of the rows for validation is drawn with the first.)
    validation : (x, t) or float, optional
        Data to measure on after each epoch; or the share of the rows to take out for it.
    sample_weight : array, optional
        How much each row counts, `(N,)`.
    metrics : sequence of str or mapping, optional
        What to measure on the validation data besides the loss: names of `xpnet.metrics`, or
        functions of scores `(N, C)` and labels by name, for a stack of scores `(K, N, C)` and labels
        with an axis of length 1 in front; by default what suits the loss.
    early_stopping : EarlyStopping, optional
        When to stop for want of progress. The network then holds the best weights.
    callbacks : sequence of callable
        Called as `callback(network, history)` after each epoch, when the network holds what was
        learnt; True stops training, until it is resumed.
    checkpoints : Checkpoints or path, optional
        Where to write checkpoints: after an interrupt too, and at the end.
    resume : bool
        Whether to go on from the newest of these: on NumPy, with as many threads, the weights become
        those of a run that was never interrupted, bit for bit. It has to be a run with layers,
        parameters, loss, optimizer, rows, batch size, seed and monitor as here. Numbers such as
        learning rates may be others, as of now.
    progress : bool
        Whether to show a progress bar (extra `train`).
    history : History, optional
        To be appended to and returned: epochs are counted on from its last, and what is in it stays
        if training is interrupted. The optimizer begins anew.
    comm : mpi4py.MPI.Comm or Ranks, optional
        The processes that train together, as `mpi4py.MPI.COMM_WORLD` (extra `mpi`): each calls `fit`
        alike, with all of the data, and computes with its part of each batch; in the end each has the
        weights that one process would have. Callbacks are called on every rank; the progress bar and
        checkpoints are rank 0's.
    sync_batchnorm : bool
        Whether batch normalisation takes its statistics over the whole batch, as one process does; else
        each rank over its part, which saves messages. (The running ones are then averaged.)

    Returns
    -------
    History
        Loss, metrics and speed of each epoch.

    Raises
    ------
    ValueError, TypeError
        If settings or shapes do not fit, inputs are not finite, or labels lie outside the classes; or
        if a checkpoint is broken, or of another run.
    NonFiniteLossError
        If the loss or a parameter became NaN or infinite: with the step, and where in the network.
        The network holds what the last whole epoch left. In a stack, that one network comes to
        nothing does not stop the others.
    DeviceMemoryError
        If a GPU has not so much memory free as a step wants (CuPy).
    KeyboardInterrupt
        On Ctrl-C. The network then holds what was learnt so far, and so does a checkpoint; as after
        every other error, as of a callback. Several ranks end at the same step.
    RankError
        If another rank has failed: which one, and why. The network holds what was learnt some steps
        before, and so does a checkpoint.
    """
    with ExitStack() as stack:
        ranks = comm if isinstance(comm, Ranks) else stack.enter_context(Ranks(comm))
        ranks.check()
        stack.push(ranks.told)
        epochs = whole_number("fit", "epochs", epochs)
        batch_size = whole_number("fit", "batch_size", batch_size)
        check_settings(network, optimizer, validation, metrics, early_stopping, callbacks, checkpoints,
                       resume, history)
        seed = checked_seed(network, seed)
        backend, data = checked_data("training", network, x, t, sample_weight, ranks)
        stack.enter_context(backend.memory_errors())
        held = None
        if is_share(validation):
            rows, held_rows = split_rows(data.rows, validation, seed if isinstance(seed, int) else seed[0])
            data, held = data.take(rows), data.take(held_rows)
            check_weights("training", data)
        elif isinstance(validation, Sequence):
            _, held = checked_data("validation", network, *validation, None, ranks)
        if not ranks.size <= batch_size <= data.rows:
            least = f", and a row of it for each of {ranks.size} ranks" if batch_size < ranks.size else ""
            raise ValueError(f"fit wants at least one batch{least}; got batch_size {batch_size} "
                             f"for {data.rows} rows")
        check_run(ranks, backend, network, {"training": data, "validation": held}, {
            "optimizer": optimizer, "epochs": epochs, "batch size": batch_size, "seed": seed,
            "metrics": find_metrics(network, metrics), "early stopping": early_stopping,
            "last epoch": history.epochs[-1].epoch if history and history.epochs else 0,
            "checkpoints": checkpoints is not None, "resume": resume, "sync_batchnorm": sync_batchnorm,
        })
        history = History() if history is None else history
        steps = data.rows // batch_size
        counter = first_counter(seed, steps * (history.epochs[-1].epoch if history.epochs else 0))
        carry = copied(first_carry(network, optimizer, backend.asarray(counter)))  # to be given away
        measure = watch = together = None
        if ranks.size > 1:
            sums = backend.sums(ranks)
            together = stack.enter_context(
                GradientSum(sums, ranks.part(batch_size), batch_size, sync_batchnorm))
        fast = network.with_kernels({**backend.kernels, **(together.kernels if together else {})})
        if held is not None:
            check_classes(network, data, held)
            measure = Evaluation(fast, backend, held, find_metrics(network, metrics), batch_size, ranks)
            tried = measure.try_out(carry)
            if early_stopping is not None:
                watch = Watch(early_stopping, backend)
                watch.check(tried)

        shared = network.stack_axes > 0 and isinstance(seed, int)
        run = Run(backend, carry, history, watch, {
            "rows": data.rows, "batch size": batch_size, "steps": steps, "seed": seed,
            "optimizer": type(optimizer).__name__,
            "monitor": None if early_stopping is None else early_stopping.monitor,
            "layers": [type(layer).__name__ for layer in (*network.leaves(), network.last_layer)],
        })
        step = backend.compile(
            training_step(fast, with_kernels(optimizer, backend), shared, together),
            donate=True, record=network.is_recordable() and getattr(optimizer, "recordable", False))
        own = ranks.part(batch_size)
        stack.enter_context(backend.threads_for(operations(network, own.stop - own.start), ranks.sharing))
        places = shared_checkpoints(checkpoints, ranks)
        if places is not None:
            if resume and places.newest() is None:
                raise ValueError(f"{places.folder}: no checkpoint to resume from; such a run is "
                                 "begun without resume")
            stack.enter_context(places)
            run.check_save()  # better refused now than when there is something to lose
            if resume:
                run.resume(places)
            elif (newest := places.newest()) is not None:
                raise ValueError(f"{newest} is of an earlier run: resume it, or name another folder")
        last = run.before + epochs
        done = (run.epoch - 1) * steps + run.steps
        bar = stack.enter_context(Progress(last * steps * batch_size, done * batch_size,
                                           progress and ranks.rank == 0))
        interrupts = stack.enter_context(Interrupts(ranks))
        Trainer(network, run, step, data, seed, batch_size, shared, measure, callbacks, places, bar, ranks,
                Pace(ranks, interrupts, places), (lambda: None) if together is None else together.wait
                ).train(last)
    return history
