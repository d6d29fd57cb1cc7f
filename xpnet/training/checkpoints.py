"""Checkpoints: what a run needs to go on after it was killed."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from xpnet._numbers import not_negative, whole_number
from xpnet.training.atomic import flush_folder
from xpnet.training.folder_lock import locked_folder
from xpnet.training.nested import place
from xpnet.training.tensors import BrokenFileError, load_tensors, save_tensors

__all__ = ["Checkpoints"]


class Checkpoints:
    """A folder of a run's checkpoints, the last few of which are kept (extra `train`).

    For `fit(checkpoints=…)`. A run holds it in a `with` block: the folder is then made if it is
    missing, closed to other runs, and cleared of what a killed one was writing.

    Parameters
    ----------
    folder : path
        Where the files `step-00001234.safetensors` lie.
    seconds : float
        Least time between two.
    keep : int
        How many to keep.

    Attributes
    ----------
    broken : list of str
        What is wrong with the newer checkpoints that the last `load` passed over.
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, seconds: float = 30.0, keep: int = 3
    ) -> None:
        self.folder = Path(folder)
        self.seconds = not_negative("Checkpoints", "seconds", seconds)
        self.keep = whole_number("Checkpoints", "keep", keep)
        self.broken: list[str] = []
        self._held: ExitStack | None = None
        self._last = time.monotonic()

    def __enter__(self) -> Self:
        made = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in made:
            flush_folder(path.parent)
        with ExitStack() as stack:
            stack.enter_context(locked_folder(self.folder))
            for leftover in self.folder.glob(".step-*.safetensors"):
                leftover.unlink()
            self._try_to_write()  # better refused now than when there is something to lose
            self._held = stack.pop_all()
        self._last = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._held is not None
        self._held.close()
        self._held = None

    def due(self) -> bool:
        """Tell whether the last one, or the run's begin, is `seconds` ago."""
        return time.monotonic() - self._last >= self.seconds

    def save(self, arrays: Mapping[str, Any], about: Mapping[str, Any], step: int) -> Path:
        """Write a checkpoint; once it is on disk, remove all but the last `keep`.

        Parameters
        ----------
        arrays : mapping
            Arrays of any backend, in dictionaries within dictionaries.
        about : mapping
            What else there is to know, as JSON.
        step : int
            How many steps the run has taken.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        OSError
            If it cannot be written. The older ones are all there.
        """
        if self._held is None:
            raise RuntimeError("Checkpoints are saved inside a block: with checkpoints: …")
        path = self.folder / f"step-{step:08}.safetensors"
        save_tensors(path, arrays, about)
        self._last = time.monotonic()
        # Of later steps are those that were passed over as broken: they go first.
        there = self._there()
        later = [p for n, p in there.items() if n > step]
        earlier = [p for n, p in there.items() if n <= step]
        for old in (later + earlier)[:-self.keep]:
            old.unlink()
        return path

    def newest(self) -> Path | None:
        """Give the file of the last step, broken or not; None if there is none."""
        return next(reversed(self._there().values()), None)

    def load(self, like: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], Path]:
        """Read the newest checkpoint that is whole; what newer ones lack is then in `broken`.

        Parameters
        ----------
        like : mapping
            What to be read: arrays of the names, shapes and dtypes that were saved, in dictionaries
            within dictionaries; of any backend, to which the values go.

        Returns
        -------
        arrays : dict
            As `like`, with the values of the checkpoint.
        about : dict
            What was said of it.
        path : Path
            Its file.

        Raises
        ------
        ValueError
            If there is none; if none is whole; or if the newest whole one has other names, shapes
            or dtypes.
        """
        self.broken = []
        for path in reversed(self._there().values()):
            try:
                tensors, about = load_tensors(path)
            except (BrokenFileError, OSError) as error:
                self.broken.append(str(error))
                continue
            where = f"{path}: a checkpoint of another network, optimizer, dtype or early stopping"
            return place(tensors, like, where), about, path
        if self.broken:
            raise BrokenFileError(f"no checkpoint can be read: {'; '.join(self.broken)}")
        raise ValueError(f"{self.folder}: no checkpoint there")

    def _try_to_write(self) -> None:
        try:
            tempfile.TemporaryFile(dir=self.folder).close()
        except OSError as error:  # it names a file of which nobody knows
            raise OSError(error.errno, error.strerror, str(self.folder)) from None

    def _there(self) -> dict[int, Path]:
        """Give the files by their steps, in order."""
        try:
            files = list(self.folder.iterdir())
        except FileNotFoundError:
            return {}
        steps = ((re.fullmatch(r"step-(\d{8,})\.safetensors", p.name), p) for p in files)
        return dict(sorted((int(m[1]), p) for m, p in steps if m))
