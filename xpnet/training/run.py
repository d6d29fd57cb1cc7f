"""A run on its way: what the steps change, how far it is, and how to go on from a checkpoint."""

from __future__ import annotations

import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet.backend import Backend
from xpnet.functional._array import Array
from xpnet.training.checkpoints import Checkpoints
from xpnet.training.history import Epoch, History
from xpnet.training.nested import copied
from xpnet.training.shared_checkpoints import SharedCheckpoints
from xpnet.training.step import Carry
from xpnet.training.stopping import Best, Watch
from xpnet.training.tensors import check_tensors

__all__ = ["Run"]


class Moment(NamedTuple):
    """How far a run is. It is replaced in one assignment: an interrupt finds all of it or nothing."""

    carry: Carry
    """What the next step begins with."""
    steps: int
    """Steps of this epoch that are done."""
    epochs: list[Epoch]
    """Epochs that are done, those before this run, too."""
    best: Best | None
    """The best weights, if they are looked for."""


class Run:
    """How far a run is.

    Parameters
    ----------
    backend : Backend
        Of the arrays.
    carry : dict
        What the first step begins with.
    history : History
        The epochs before; takes those to come.
    watch : Watch, optional
        Of the best weights.
    setting : dict
        What has to stay the same for a run to go on as it began, as JSON values.

    Attributes
    ----------
    before : int
        The number of the epoch before the run's first.
    seconds : float
        How long the run took before it was resumed, with that of the epochs before.
    saved : Path or None
        The checkpoint that was last written or read.
    """

    def __init__(self, backend: Backend, carry: Carry, history: History, watch: Watch | None,
                 setting: dict[str, Any]) -> None:
        self._backend, self._setting, self._watch = backend, setting, watch
        self.history = history
        self._now = Moment(carry, 0, list(history.epochs), watch.begin(carry) if watch else None)
        self._losses: list[Any] = []
        self._read: NDArray[Any] = np.zeros(0)
        """The first of them, as read back."""
        self.saved: Path | None = None
        self.before = self.epoch - 1
        self.seconds = history.epochs[-1].seconds if history.epochs else 0.0

    @property
    def carry(self) -> Carry:
        """What the next step begins with."""
        return self._now.carry

    @property
    def steps(self) -> int:
        """How many steps of this epoch are done."""
        return self._now.steps

    @property
    def epoch(self) -> int:
        """The number of the epoch that the next step is of."""
        epochs = self._now.epochs
        return epochs[-1].epoch + 1 if epochs else 1

    @property
    def has_begun(self) -> bool:
        """Whether a step is done."""
        return self.steps > 0 or self.epoch > self.before + 1

    @property
    def goes_on(self) -> bool:
        """Whether there is patience left."""
        best = self._now.best
        return self._watch is None or best is None or self._watch.goes_on(best)

    @property
    def result(self) -> dict[str, Any]:
        """The "params" and "state" to end with: the best, or those of the last step."""
        return self.carry if self._now.best is None else self._now.best.arrays

    def advance(self, carry: Carry, loss: Array) -> None:
        """Take note of a step."""
        del self._losses[self.steps:]  # of the epoch before, or what an interrupt left half done
        self._read = self._read[:self.steps]
        self._losses.append(loss)
        self._now = self._now._replace(carry=carry, steps=self.steps + 1)

    def read_losses(self) -> NDArray[Any]:
        """Give the losses of this epoch's steps, `(steps,)` or `(steps, K)`; the device is waited for."""
        known = len(self._read)
        fresh = self._losses[known:self.steps]
        if fresh:
            losses = self._backend.to_numpy_all(fresh).astype(np.float64)
            self._read = np.concatenate([self._read, losses]) if known else losses
            self._losses[known:len(self._read)] = [None] * len(fresh)
        return self._read[:self.steps]

    def go_back(self, carry: Carry, steps: int) -> None:
        """Begin the next step with what this many steps of this epoch had led to."""
        self._now = self._now._replace(carry=carry, steps=steps)

    def keep(self) -> None:
        """Let the carry be a copy, which no step overwrites."""
        self._now = self._now._replace(carry=copied(self.carry))

    def end_epoch(self, epoch: Epoch) -> None:
        """Take note of an epoch that is done."""
        best = self._now.best
        if self._watch is not None and best is not None:
            best = self._watch.look(best, self.carry, epoch)
        self._now = Moment(self.carry, 0, [*self._now.epochs, epoch], best)
        self.publish()

    def publish(self) -> None:
        """Let the history have all epochs that are done, and say which are the best."""
        self.history.epochs[:] = self._now.epochs
        best = self._now.best.epochs if self._now.best is not None else []
        several = self.history.members is not None
        self.history.best = None if not best else best if several else best[0]

    def save(self, checkpoints: Checkpoints | SharedCheckpoints, seconds: float) -> None:
        """Write a checkpoint, so many seconds after the run began."""
        best = self._now.best
        about = {
            "setting": self._setting, "before": self.before, "seconds": seconds,
            "losses": self.read_losses().tolist(),
            "history": [asdict(epoch) for epoch in self._now.epochs],
            "best": best and {"values": best.values, "waited": best.waited, "epochs": best.epochs},
        }
        step = (self.epoch - 1) * int(self._setting["steps"]) + self.steps
        self.saved = checkpoints.save(self._arrays(), about, step)

    def check_save(self) -> None:
        """Refuse what cannot be written (ValueError, TypeError)."""
        check_tensors(self._arrays())

    def resume(self, checkpoints: Checkpoints | SharedCheckpoints) -> None:
        """Go on from the newest checkpoint that is whole; warn of those that are not.

        Raises
        ------
        ValueError
            If it is of a run with another setting, or arrays of other names, shapes or dtypes.
        """
        carry, about, path = checkpoints.load(self._arrays())
        for broken in checkpoints.broken:
            warnings.warn(f"passed over: {broken}", stacklevel=3)
        for name, value in self._setting.items():
            if (found := about["setting"].get(name)) != value:
                raise ValueError(f"{path}: a run with {name} {found} can only go on with it; "
                                 f"got {value}")
        best = {"arrays": carry.pop("best"), **(about["best"] or {})}
        self._read = np.asarray(about["losses"], dtype=np.float64)
        self._losses = [None] * len(self._read)
        self.before, self.seconds = about["before"], about["seconds"]
        self._now = Moment(carry, len(self._losses), [Epoch(**row) for row in about["history"]],
                           Best(**best) if self._watch else None)
        self.saved = path

    def _arrays(self) -> dict[str, Any]:
        best = self._now.best
        return {**self.carry, "best": {} if best is None else best.arrays}
