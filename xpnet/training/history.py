"""What training reports, epoch by epoch."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from xpnet.training.atomic import atomic_path

__all__ = ["Epoch", "History"]


@dataclass(frozen=True)
class Epoch:
    """What is known after an epoch.

    Attributes
    ----------
    epoch : int
        From 1.
    loss : float or list of float
        Mean of the batches' losses, each before its step; one a network, for a stack.
    validation : mapping
        What was measured on the validation data after the epoch: "loss" and the metrics, by name;
        in lists, one a network, for a stack. Empty without validation data.
    seconds : float
        Since training began, evaluation included.
    samples_per_second : float
        Of training alone, on all ranks together; a row counts once for each network of a stack.
    ranks : int
        How many processes trained together.
    """

    epoch: int
    loss: Any
    validation: Mapping[str, Any]
    seconds: float
    samples_per_second: float
    ranks: int = 1


@dataclass
class History:
    """The epochs so far.

    Attributes
    ----------
    epochs : list of Epoch
        In their order.
    best : int or list of int, optional
        With early stopping, the number of the epoch with the best weights, which the network holds in
        the end; one a network, for a stack.
    """

    epochs: list[Epoch] = field(default_factory=list)
    best: int | list[int] | None = None

    @property
    def members(self) -> int | None:
        """How many networks the stack has that was trained; None if it was a single one."""
        loss = self.epochs[-1].loss if self.epochs else None
        return len(loss) if isinstance(loss, list) else None

    def curve(self, name: str, member: int | None = None) -> list[Any]:
        """Give a value of each epoch.

        Parameters
        ----------
        name : str
            "loss", of the training, or "validation loss", or a metric, of the validation data.
        member : int, optional
            Which network of a stack.

        Raises
        ------
        ValueError
            If nothing of this name was measured, or there is no such network.
        """
        there = dict.fromkeys(["loss", "validation loss", *(n for e in self.epochs for n in e.validation)])
        if name not in there:
            raise ValueError(f"there are {', '.join(there)}; got {name!r}")
        if member is not None and not 0 <= member < (self.members or 0):
            raise ValueError(f"the history is of {self.members or 'a single network, not a stack'}; "
                             f"got member {member}")
        if name == "loss":
            values = [e.loss for e in self.epochs]
        else:
            key = "loss" if name == "validation loss" else name
            values = [e.validation.get(key) for e in self.epochs]
        if member is None:
            return values
        return [None if v is None else v[member] for v in values]

    @property
    def metrics(self) -> list[str]:
        """The names of the metrics that were measured on the validation data."""
        return [name for name in (self.epochs[-1].validation if self.epochs else ())
                if name != "loss"]

    def best_member(self, name: str = "validation loss") -> int:
        """Give the number of the network of a stack that is best, with the weights it holds in the end.

        These are of its last epoch, or with early stopping of its best.

        Parameters
        ----------
        name : str
            "loss" or "validation loss", which is to be small, or a metric, which is to be large.
        """
        if self.members is None:
            raise ValueError("the history is of a single network, not of a stack")
        sign = -1 if name in ("loss", "validation loss") else 1
        numbers = [e.epoch for e in self.epochs]
        held = self.best if isinstance(self.best, list) else [numbers[-1]] * self.members
        last = [self.curve(name, k)[numbers.index(held[k])] for k in range(self.members)]
        if not all(isinstance(value, int | float) for value in last):
            raise ValueError(f"no number was measured for {name!r} of each network")
        return max(range(self.members),
                   key=lambda k: -math.inf if math.isnan(last[k]) else sign * last[k])

    def write_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a table with a row for each epoch, and, of a stack, for each network."""
        with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
            rows = list(self._rows())
            names = list(dict.fromkeys(name for row in rows for name in row))
            table = csv.DictWriter(file, names or ["epoch"])
            table.writeheader()
            table.writerows({name: _cell(value) for name, value in row.items()} for row in rows)

    def _rows(self) -> Iterator[dict[str, Any]]:
        members = self.members
        for e in self.epochs:
            for k in range(members or 1):
                row: dict[str, Any] = {"epoch": e.epoch}
                if members is not None:
                    row["member"] = k
                row["loss"] = e.loss if members is None else e.loss[k]
                for name, value in e.validation.items():
                    column = "validation loss" if name == "loss" else name
                    row[column] = value if members is None else value[k]
                yield {**row, "seconds": e.seconds, "samples per second": e.samples_per_second,
                       "ranks": e.ranks}


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return json.dumps(value)
    return f"{value:.7g}" if isinstance(value, float) else value
