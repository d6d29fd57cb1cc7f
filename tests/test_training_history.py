from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from folders import content

from xpnet import History
from xpnet.training import Epoch

HISTORY = History([
    Epoch(1, 2.302585093, 0.5, 0.25, 123456.789),
    Epoch(2, 0.0001234567891, 0.9375, 0.5, 200000.0),
    Epoch(3, 1e-12, 1.0, 3600.5, 1e9),
])


def test_history_as_csv(tmp_path: Path) -> None:
    HISTORY.write_csv(tmp_path / "history.csv")
    with (tmp_path / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "loss", "accuracy", "seconds", "samples_per_second"]
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    for row, epoch in zip(rows, HISTORY.epochs, strict=True):
        for name in ("loss", "accuracy", "seconds", "samples_per_second"):
            assert float(row[name]) == pytest.approx(getattr(epoch, name), rel=1e-6, abs=0)


def test_history_without_accuracy_or_epochs(tmp_path: Path) -> None:
    History([Epoch(1, 2.0, None, 0.5, 100.0)]).write_csv(tmp_path / "one.csv")
    assert (tmp_path / "one.csv").read_text().splitlines()[1] == "1,2,,0.5,100"
    History().write_csv(tmp_path / "none.csv")
    assert (tmp_path / "none.csv").read_text().splitlines() == [
        "epoch,loss,accuracy,seconds,samples_per_second"]


def test_history_that_cannot_be_written_leaves_the_old(tmp_path: Path) -> None:
    broken: Any = [*HISTORY.epochs, "not an epoch"]
    (tmp_path / "history.csv").write_bytes(b"old")
    with pytest.raises(TypeError):
        History(broken).write_csv(tmp_path / "history.csv")
    assert content(tmp_path) == {"history.csv": b"old"}
