"""What training reports, epoch by epoch."""

from __future__ import annotations

import csv
import os
from dataclasses import asdict, dataclass, field, fields

from xpnet.training.atomic import atomic_path

__all__ = ["Epoch", "History"]


@dataclass(frozen=True)
class Epoch:
    """What is known after an epoch.

    Attributes
    ----------
    epoch : int
        From 1.
    loss : float
        Mean of the batches' losses, each before its step.
    accuracy : float or None
        On the validation data, after the epoch; None without any.
    seconds : float
        Since training began, evaluation included.
    samples_per_second : float
        Of training alone.
    """

    epoch: int
    loss: float
    accuracy: float | None
    seconds: float
    samples_per_second: float


@dataclass
class History:
    """The epochs so far."""

    epochs: list[Epoch] = field(default_factory=list)

    def write_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a table with a row for each epoch."""
        with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
            table = csv.DictWriter(file, [f.name for f in fields(Epoch)])
            table.writeheader()
            for epoch in self.epochs:
                row = asdict(epoch).items()
                table.writerow({k: f"{v:.7g}" if isinstance(v, float) else v for k, v in row})
