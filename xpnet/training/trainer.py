"""The epochs of a run."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from xpnet.distributed import RankError, Ranks, describe
from xpnet.distributed.errors import is_common, make_common
from xpnet.networks import Network
from xpnet.training.alike import check_weights_alike
from xpnet.training.batches import epoch_batches
from xpnet.training.checkpoints import Checkpoints
from xpnet.training.checks import finite
from xpnet.training.data import Data
from xpnet.training.diagnosis import UPDATE, NonFiniteLossError, first_non_finite
from xpnet.training.evaluation import Evaluation
from xpnet.training.history import Epoch, History
from xpnet.training.nested import copied
from xpnet.training.pace import Pace
from xpnet.training.progress import Progress
from xpnet.training.run import Run
from xpnet.training.shared_checkpoints import SharedCheckpoints
from xpnet.training.step import Carry, Step, gathered

__all__ = ["Callback", "Trainer"]

Callback = Callable[[Network, History], object]


class Trainer:
    """Takes a run from step to step.

    Parameters
    ----------
    network : Network
        What is trained.
    run : Run
        How far it is.
    step : callable
        The compiled step.
    data : Data
        The rows.
    seed : int or sequence of int
        Of their order.
    batch_size : int
        Rows of a step.
    shared : bool
        Whether a stack of networks shares the batches.
    measure : Evaluation, optional
        Measures on the validation data.
    callbacks : sequence of callable
        Called after each epoch.
    checkpoints : Checkpoints or SharedCheckpoints, optional
        Where to write them.
    bar : Progress
        The progress bar.
    ranks : Ranks
        Those who train together.
    pace : Pace
        Says when to look, to copy and to save.
    wait : callable
        Waits for the device, if other ranks may keep it from coming to an end.
    """

    def __init__(
        self, network: Network, run: Run, step: Step, data: Data, seed: int | Sequence[int],
        batch_size: int, shared: bool, measure: Evaluation | None, callbacks: Sequence[Callback],
        checkpoints: Checkpoints | SharedCheckpoints | None, bar: Progress, ranks: Ranks, pace: Pace,
        wait: Callable[[], None],
    ) -> None:
        self._network, self._run, self._step, self._data = network, run, step, data
        self._seed, self._batch_size, self._shared = seed, batch_size, shared
        self._measure, self._callbacks = measure, callbacks
        self._checkpoints, self._bar = checkpoints, bar
        self._ranks, self._pace, self._wait = ranks, pace, wait
        self._part = ranks.part(batch_size)
        self._start = time.perf_counter() - run.seconds
        self._verified: tuple[Carry, int] = run.carry, run.steps
        """A copy of what was seen to be finite, and how many steps of the epoch had led there."""

    def train(self, last: int) -> None:
        """Train until an epoch is done."""
        run = self._run
        self._hold(run.carry)  # of a checkpoint
        run.publish()
        going = run.goes_on
        try:
            while going and run.epoch <= last:
                going = self._epoch()
                if not going or run.epoch > last:
                    self._save()
                    self._pace.after_epoch()
            self._hold(run.result)
        except NonFiniteLossError:
            raise
        except BaseException as error:
            if isinstance(error, MemoryError):
                traceback.clear_frames(error.__traceback__)  # which hold what filled the memory
            if self._ranks.size > 1 and not is_common(error):
                self._end_alone(error)
            run.publish()
            if run.has_begun and self._is_sound():
                self._hold(run.carry)
                self._save()
            raise

    def _epoch(self) -> bool:
        """Train for an epoch, or the rest of one; tell whether to go on."""
        run, done = self._run, self._run.steps
        order = epoch_batches(self._data.rows, self._batch_size, self._seed, run.epoch)
        start = time.perf_counter()
        self._copy()
        for batch in self._data.batches(order[..., self._part], done):
            run.advance(*self._step(run.carry, *batch))
            self._bar.advance(self._batch_size)
            due = self._pace.after_step()
            if due.look:
                self._look(order)
            if due.copy:
                self._copy()
            if due.save:
                self._save()
        losses = self._look(order)
        check_weights_alike(self._ranks, run.carry["params"])
        samples = order[done:].size * (len(losses[0]) if self._shared and losses.ndim > 1 else 1)
        speed = samples / (time.perf_counter() - start)
        measured = {} if self._measure is None else self._measure(run.carry)
        self._hold(run.carry)
        seconds, speed = self._ranks.broadcast((time.perf_counter() - self._start, speed))
        run.end_epoch(Epoch(run.epoch, losses.mean(axis=0).tolist(), measured, seconds, speed,
                            self._ranks.size))
        self._bar.end_epoch(run.history)
        wishes = [callback(self._network, run.history) for callback in self._callbacks]
        stops = [isinstance(w, bool | np.bool_) and bool(w) for w in wishes]
        self._pace.after_epoch()
        return run.goes_on and not any(self._ranks.add([any(stops)]))

    def _save(self) -> None:
        if self._checkpoints is not None:
            self._run.save(self._checkpoints, time.perf_counter() - self._start)

    def _hold(self, arrays: dict[str, Any]) -> None:
        self._network.params.update(copied(arrays["params"]))
        self._network.state.update(copied(arrays["state"]))

    def _is_sound(self) -> bool:
        """Tell whether the parameters are finite; of a stack, those of some network."""
        return finite(list(self._run.carry["params"].values()), self._network.stack_axes)

    def _look(self, order: NDArray[Any]) -> NDArray[Any]:
        """Give the losses of this epoch, all of them finite; of a stack, some in each step."""
        self._wait()
        losses = self._run.read_losses()
        alive = np.isfinite(losses).reshape(len(losses), -1).any(axis=1)
        if not alive.all() or not self._is_sound():
            raise self._error(order, losses, alive)
        self._bar.look(losses[-1])
        self._pace.looked()
        return losses

    def _copy(self) -> None:
        """Keep a copy to go back to."""
        start = time.perf_counter()
        self._verified = copied(self._run.carry), self._run.steps
        self._pace.copied(time.perf_counter() - start)

    def _end_alone(self, error: BaseException) -> NoReturn:
        """End where some rank has failed: with what is known to be whole, as what is under way never ends."""
        run, failure = self._run, self._ranks.failure
        if failure is None:  # it is this one, and has nothing to wait for
            self._ranks.fail(describe(error))
        if run.steps:
            run.go_back(*self._verified)
        run.publish()
        if run.has_begun:
            self._hold(run.carry)
            if isinstance(self._checkpoints, SharedCheckpoints) and (own := self._checkpoints.alone()):
                with suppress(OSError, MemoryError):  # the error that is known says more
                    run.save(own, time.perf_counter() - self._start)
        if failure is not None and not isinstance(error, RankError):  # told by way of the library
            raise failure from None
        raise error

    def _error(self, order: NDArray[Any], losses: NDArray[Any], alive: NDArray[Any]
               ) -> NonFiniteLossError:
        """Go the steps again from what was last seen to be finite, and say where it went wrong."""
        self._run.keep()
        epoch, axes = self._run.epoch, self._network.stack_axes
        carry, first = self._verified
        if alive.all():
            said = f"step {len(losses)} of epoch {epoch} made parameters NaN or infinite"
        else:
            k = int(np.argmin(alive))
            said = f"the loss became {losses[k]} at step {k + 1} of epoch {epoch}"
        for k, batch in enumerate(self._data.batches(order[..., self._part], first), start=first):
            after, loss = self._step(copied(carry), *batch)
            if not finite([loss, *after["params"].values()], axes):
                where = first_non_finite(self._network, carry, gathered(*batch, self._shared))
                if self._ranks.size > 1:
                    where = _first_of(self._ranks.gather(where))
                said += f"; at step {k + 1} {where} held the first NaN or infinity"
                break
            carry = copied(after)  # which the next step may overwrite
        said += ": a smaller learning rate may help"
        saved = self._run.saved
        error = NonFiniteLossError(said + (f"; the last checkpoint is {saved}" if saved else ""))
        make_common(error)  # all ranks have the same losses
        return error


def _first_of(found: Sequence[str]) -> str:
    """Say on which of the ranks a step first went wrong: on one that found where, if there is any."""
    rank = next((rank for rank, where in enumerate(found) if where != UPDATE), 0)
    return f"on rank {rank} {found[rank]}"
