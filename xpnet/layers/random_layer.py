"""What layers that draw random numbers have."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from operator import index
from typing import ClassVar, Self, SupportsIndex, TypeAlias

from xpnet.functional._array import Array, array_namespace, device
from xpnet.functional.random_bits import signed
from xpnet.layers.layer import Layer

__all__ = ["RandomLayer", "Seeds"]

Seeds: TypeAlias = SupportsIndex | Iterable[SupportsIndex]


class RandomLayer(Layer):
    """A layer that draws random numbers in training: a function of a seed, a step, and its `stream`.

    They are the same on every library. The layer counts its steps, one for each forward in training.
    A copy that `bind` gives a counter draws from that, and does not count.

    Parameters
    ----------
    seed : int or sequence of int
        The same seed gives the same numbers. A sequence has one for each network of a stack, of
        which each draws what it would draw alone.

    Attributes
    ----------
    first_row : int
        The number, within the batch, of the first row of the input: 0, unless several ranks share the
        batch. What is drawn for a row should follow from its number there; see `random_bits(first=…)`.
    batch_rows : int, optional
        How many rows the batch has, if several ranks share it.
    """

    first_row: int = 0
    batch_rows: int | None = None
    has_train_flg: ClassVar[bool] = True
    draws: ClassVar[bool] = True

    def __init__(self, seed: Seeds = 0) -> None:
        super().__init__()
        self.seed = self._whole_numbers(seed)
        if self.seed == []:
            raise ValueError(f"{self.name} wants at least one seed; got none")
        self.step = 0

    def next_counter(self, x: Array) -> Array:
        """Give what this forward draws from, for `random_bits`, and count it.

        Parameters
        ----------
        x : array
            The input, whose library and device the counter is to have.

        Returns
        -------
        array
            Seed and step, int32, `(2,)`; or `(…, 2)`, those of each network of a stack.
        """
        xp, step = array_namespace(x), signed(self.step)
        if not self._bound:
            self.step += 1
        if self.counter is not None:
            return self.counter
        rows = ([[signed(seed), step] for seed in self.seed] if isinstance(self.seed, list)
                else [signed(self.seed), step])
        return xp.asarray(rows, dtype=xp.int32, device=device(x))

    def member(self, k: int) -> Self:
        """Give one of a stack's layers, which draws on with its own seed."""
        one = super().member(k)
        if isinstance(self.seed, list):
            one.seed = self.seed[k]
        return one

    def _whole_numbers(self, seed: Seeds) -> int | list[int]:
        with contextlib.suppress(TypeError):
            return index(seed)  # type: ignore[arg-type]
        with contextlib.suppress(TypeError):
            return [*map(index, seed)]  # type: ignore[arg-type]
        raise TypeError(f"{self.name} wants a whole number or a sequence of them for a seed; "
                        f"got {seed!r}")
