"""Interrupts that wait until all ranks know of them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

from xpnet.distributed.errors import make_common
from xpnet.distributed.ranks import Ranks

__all__ = ["Interrupts"]

HEEDED = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Ctrl-C, and being asked to end, for all ranks at the same step.

    `mpiexec` hands Ctrl-C on to every rank, each of which is somewhere else; one that stopped there would
    leave the others to wait for it.

    Parameters
    ----------
    ranks : Ranks
        All ranks.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._came: list[int] = [0] * len(HEEDED)
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Take note of interrupts from now on; at a second one, do at once what it asks for."""
        if self._ranks.size > 1 and threading.current_thread() is threading.main_thread():
            for number in HEEDED:
                if callable(handler := signal.getsignal(number)):  # else it ends the program, or nothing
                    self._handlers[number] = handler
                    signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self._hand_back()

    @property
    def came(self) -> list[int]:
        """Which have come here: for each of `HEEDED` 1 or 0."""
        return list(self._came)

    def act(self, came: list[int]) -> None:
        """Do what an interrupt asks for, if one has come to any rank: as a rule, raise KeyboardInterrupt."""
        number = next((number for number, times in zip(HEEDED, came, strict=True) if times), None)
        if number is not None:
            handler: Callable[[int, FrameType | None], Any] = self._handlers.get(
                number, signal.default_int_handler)
            self._hand_back()
            try:
                handler(number, None)
            except BaseException as error:
                make_common(error)
                raise

    def _note(self, number: int, frame: FrameType | None) -> None:
        k = HEEDED.index(signal.Signals(number))
        if self._came[k]:
            self._handlers[number](number, frame)
        self._came[k] = 1

    def _hand_back(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}
