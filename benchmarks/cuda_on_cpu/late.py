"""Work that is done as late as CUDA may do it: when something waits for it.

So it shows if what it reads is written to before, or what it writes to is read, or both are used again.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict, deque
from collections.abc import Callable

__all__ = ["Late"]


class Late:
    """What streams, by their pointers, were asked for and have not done."""

    def __init__(self) -> None:
        self._waiting: dict[int, deque[tuple[int, Callable[[], None]]]] = defaultdict(deque)
        self.asked: Counter[int] = Counter()

    def put_off(self, stream: int, run: Callable[[], None], number: int = 0) -> None:
        """Take note of work, and of its number on the stream, by default the next."""
        self.asked[stream] = number or self.asked[stream] + 1
        self._waiting[stream].append((self.asked[stream], run))

    def catch_up(self, stream: int, number: float = math.inf) -> None:
        """Do what a stream was asked for, up to a number."""
        waiting = self._waiting.get(stream)
        while waiting and waiting[0][0] <= number:
            waiting.popleft()[1]()

    def catch_up_all(self) -> None:
        """Do all."""
        for stream in list(self._waiting):
            self.catch_up(stream)

    def forget(self, owner: object) -> None:
        """Do no more what is a method of some object."""
        for stream, waiting in self._waiting.items():
            kept = [each for each in waiting if getattr(getattr(each[1], "func", None), "__self__", None) is not owner]
            self._waiting[stream] = deque(kept)
