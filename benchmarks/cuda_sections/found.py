"""What a section finds, in a file as it comes: a crash or a limit leaves what was found before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cuda_sections.plan import Section

__all__ = ["MAKING", "Found", "WronglyComputedError"]

MAKING = "making "
"""What the stage begins with in which a contender is made, who may take the process with him."""


class WronglyComputedError(Exception):
    """Something is computed wrongly in a dry run, which has nothing else to find."""


class Found:
    """Takes what a section finds.

    Parameters
    ----------
    section : Section
        The section.
    file : Path
        What is found goes there, as JSON.
    dry : bool
        Whether this is a dry run, on a stand-in for CuPy: tiny, and not about time.
    without : str
        A contender who ended the process before this one.
    """

    def __init__(self, section: Section, file: Path, dry: bool, without: str = "") -> None:
        self.dry, self.without, self._section, self._file = dry, without, section, file
        self.figures: dict[str, Any] = {}
        self._all: dict[str, Any] = {
            "stage": "", "tables": [], "notes": [], "figures": self.figures, "bars": {}}
        self.save()

    def save(self) -> None:
        """Write all that was found so far."""
        there = self._file.with_suffix(".part")
        there.write_text(json.dumps(self._all))
        there.replace(self._file)

    def stage(self, what: str) -> None:
        """Say what is about to be done, for whoever finds that it was the last."""
        self._all["stage"] = what
        self.save()

    def note(self, text: str) -> None:
        """Say something that belongs under the tables."""
        self._all["notes"].append(text)
        self.save()

    def figure(self, name: str, value: Any, *, times: bool = False) -> None:
        """Keep a number, or what JSON can hold, for machines to read; times not of a dry run."""
        if times and self.dry:
            return
        self.figures[name] = value
        self.save()

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]], *, times: bool = False) -> None:
        """Keep a table of what to show; of times in a dry run, who took part alone."""
        if times and self.dry:
            self.note(f"Took part: {'; '.join(row[0] for row in rows)}.")
            return
        self._all["tables"].append({"head": list(head), "rows": [list(row) for row in rows]})
        self.save()

    def bar(self, name: str, met: bool | None, said: str) -> None:
        """Hold something against a bar.

        Parameters
        ----------
        name : str
            The bar's name in the plan.
        met : bool or None
            Whether it is met; None if that could not be found out.
        said : str
            What was found; or why nothing was.
        """
        bar = self._section.bars[name]
        if self.dry and bar.correct and met is False:
            raise WronglyComputedError(f"{bar.what}: {said}")
        if self.dry and met is not None:
            said = f"in the dry run it holds: {said}" if bar.correct else "times of a dry run say nothing"
            met = None
        self._all["bars"][name] = {"met": None if met is None else bool(met), "said": said}
        self.save()
