"""When to look at the losses, to copy and to save: by a clock, and on several ranks by that of rank 0."""

from __future__ import annotations

import time
from typing import NamedTuple

from xpnet.distributed import Ranks
from xpnet.distributed.interrupts import Interrupts
from xpnet.training.checkpoints import Checkpoints
from xpnet.training.shared_checkpoints import SharedCheckpoints

__all__ = ["Due", "Pace"]

INTERVAL = 0.2
"""Seconds between two looks at the losses: each waits for the device."""
SHARE = 0.005
"""How much of the time may go into copies of what was seen to be finite."""
MOST = 1 << 20
"""Steps to go on for without asking the other ranks."""


class Due(NamedTuple):
    """What is to be done after a step."""

    look: bool = False
    copy: bool = False
    save: bool = False


NOTHING = Due()


class Pace:
    """Tells what is due.

    Ranks have to agree on that, since steps wait for each other, and each has a clock of its own: rank 0
    says after how many steps they ask each other again.

    Parameters
    ----------
    ranks : Ranks
        All ranks.
    interrupts : Interrupts
        What may have come to some of them.
    checkpoints : Checkpoints or SharedCheckpoints, optional
        Say when to save; on rank 0.
    """

    def __init__(self, ranks: Ranks, interrupts: Interrupts, checkpoints: Checkpoints | SharedCheckpoints | None
                 ) -> None:
        self._ranks, self._interrupts, self._checkpoints = ranks, interrupts, checkpoints
        self._next_look = self._next_copy = 0.0
        self._last, self._steps, self._left = time.perf_counter(), 1, 1

    def after_step(self) -> Due:
        """Tell what is due; if an interrupt has come to some rank, act on it in all."""
        if self._ranks.size > 1:
            self._left -= 1
            return self._agreed() if self._left <= 0 else NOTHING
        now = time.perf_counter()
        save = self._checkpoints is not None and self._checkpoints.due()
        if not save and now < self._next_look:
            return NOTHING
        return Due(look=True, copy=now >= self._next_copy, save=save)

    def after_epoch(self) -> None:
        """Act on an interrupt that has come to some rank."""
        self._interrupts.act(self._ranks.add(self._interrupts.came))

    def looked(self) -> None:
        """Take note of a look."""
        self._next_look = time.perf_counter() + INTERVAL

    def copied(self, seconds: float) -> None:
        """Take note of a copy that took so long."""
        self._next_copy = time.perf_counter() + seconds / SHARE

    def _agreed(self) -> Due:
        now = time.perf_counter()
        plan = [0, 0, 0]
        if self._ranks.rank == 0:
            for_a_step = max(now - self._last, 1e-9) / self._steps
            plan = [max(1, min(int(INTERVAL / for_a_step), 2 * self._steps, MOST)), now >= self._next_copy,
                    self._checkpoints is not None and self._checkpoints.due()]
        steps, copy, save, *came = self._ranks.add([*map(int, plan), *self._interrupts.came])
        self._last, self._steps, self._left = now, steps, steps
        self._interrupts.act(came)
        return Due(look=True, copy=bool(copy), save=bool(save))
