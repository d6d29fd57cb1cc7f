"""Checkpoints of a run on several ranks: rank 0 has them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from xpnet.distributed import Ranks
from xpnet.training.checkpoints import Checkpoints
from xpnet.training.nested import place
from xpnet.training.tensors import check_tensors

__all__ = ["SharedCheckpoints", "shared_checkpoints"]


def shared_checkpoints(
    given: Checkpoints | str | os.PathLike[str] | None, ranks: Ranks
) -> Checkpoints | SharedCheckpoints | None:
    """Give the checkpoints of a run, as `fit` is told of them."""
    own = Checkpoints(given) if isinstance(given, str | os.PathLike) else given
    return own if own is None or ranks.size == 1 else SharedCheckpoints(ranks, own)


class SharedCheckpoints:
    """What `Checkpoints` are for one process, for all ranks at once; rank 0 alone reads and writes.

    Parameters
    ----------
    ranks : Ranks
        All ranks.
    checkpoints : Checkpoints
        Those of rank 0.
    """

    def __init__(self, ranks: Ranks, checkpoints: Checkpoints) -> None:
        self._ranks, self._own = ranks, checkpoints
        self.folder = checkpoints.folder
        self.broken: list[str] = []

    def __enter__(self) -> Self:
        self._ranks.first(lambda: bool(self._own.__enter__()))
        return self

    def __exit__(self, *_: object) -> None:
        if self._ranks.rank == 0:
            self._own.__exit__()

    def due(self) -> bool:
        """Tell whether the last one is long ago; see `Checkpoints.due`."""
        return self._ranks.rank == 0 and self._own.due()

    def save(self, arrays: Mapping[str, Any], about: Mapping[str, Any], step: int) -> Path:
        """Write a checkpoint; see `Checkpoints.save`."""
        return Path(self._ranks.first(lambda: str(self._own.save(arrays, about, step))))

    def alone(self) -> Checkpoints | None:
        """Give what rank 0 can write to without the others, of which one has failed."""
        return self._own if self._ranks.rank == 0 else None

    def newest(self) -> Path | None:
        """Give the file of the last step; see `Checkpoints.newest`."""
        path = self._ranks.first(lambda: str(self._own.newest() or ""))
        return Path(path) if path else None

    def load(self, like: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], Path]:
        """Read the newest checkpoint that is whole, and give it to all; see `Checkpoints.load`."""
        arrays, said = dict(like), None
        if self._ranks.rank == 0:
            arrays, about, path = self._own.load(like)
            self.broken, said = self._own.broken, (about, str(path))
        about, name = self._ranks.broadcast(said)
        host = {key: self._ranks.broadcast_array(a) for key, a in check_tensors(arrays).items()}
        return place(host, like, name), about, Path(name)
