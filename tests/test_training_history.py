from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from folders import content

from xpnet import History
from xpnet.training import Epoch

HISTORY = History([
    Epoch(1, 2.302585093, {"loss": 2.25, "accuracy": 0.5}, 0.25, 123456.789),
    Epoch(2, 0.0001234567891, {"loss": 0.5, "accuracy": 0.9375}, 0.5, 200000.0, ranks=3),
    Epoch(3, 1e-12, {"loss": 1e-9, "accuracy": 1.0}, 3600.5, 1e9),
])
STACK = History([
    Epoch(1, [2.0, 3.0], {"loss": [1.0, 2.0], "accuracy": [0.5, 0.25], "confusion_matrix": [
        [[1, 0], [0, 1]], [[0, 2], [0, 0]]]}, 0.5, 10.0),
    Epoch(2, [1.0, float("nan")], {"loss": [0.5, 1.5], "accuracy": [0.75, 0.5], "confusion_matrix": [
        [[2, 0], [0, 0]], [[1, 1], [0, 0]]]}, 1.0, 20.0),
])


def table(history: History, folder: Path) -> list[dict[str, str]]:
    history.write_csv(folder / "history.csv")
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_history_as_csv(tmp_path: Path) -> None:
    rows = table(HISTORY, tmp_path)
    assert list(rows[0]) == [
        "epoch", "loss", "validation loss", "accuracy", "seconds", "samples per second", "ranks"]
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [row["ranks"] for row in rows] == ["1", "3", "1"]
    for row, epoch in zip(rows, HISTORY.epochs, strict=True):
        for name, value in (
            ("loss", epoch.loss), ("validation loss", epoch.validation["loss"]),
            ("accuracy", epoch.validation["accuracy"]), ("seconds", epoch.seconds),
            ("samples per second", epoch.samples_per_second),
        ):
            assert float(row[name]) == pytest.approx(value, rel=1e-6, abs=0)


def test_history_without_validation_or_epochs(tmp_path: Path) -> None:
    History([Epoch(1, 2.0, {}, 0.5, 100.0)]).write_csv(tmp_path / "one.csv")
    assert (tmp_path / "one.csv").read_text().splitlines() == [
        "epoch,loss,seconds,samples per second,ranks", "1,2,0.5,100,1"]
    History().write_csv(tmp_path / "none.csv")
    assert (tmp_path / "none.csv").read_text().splitlines() == ["epoch"]


def test_a_stack_has_a_row_for_each_network(tmp_path: Path) -> None:
    rows = table(STACK, tmp_path)
    assert [(row["epoch"], row["member"], row["loss"]) for row in rows] == [
        ("1", "0", "2"), ("1", "1", "3"), ("2", "0", "1"), ("2", "1", "nan")]
    assert [row["accuracy"] for row in rows] == ["0.5", "0.25", "0.75", "0.5"]
    assert rows[1]["confusion_matrix"] == "[[0, 2], [0, 0]]"
    assert rows[2]["validation loss"] == "0.5"


def test_a_metric_that_came_later(tmp_path: Path) -> None:
    rows = table(History([*HISTORY.epochs[:1], Epoch(2, 1.0, {"r2_score": 0.5}, 1.0, 1.0)]), tmp_path)
    assert [(row["accuracy"], row["r2_score"]) for row in rows] == [("0.5", ""), ("", "0.5")]


def test_curves() -> None:
    assert HISTORY.curve("loss") == [2.302585093, 0.0001234567891, 1e-12]
    assert HISTORY.curve("validation loss") == [2.25, 0.5, 1e-9]
    assert HISTORY.curve("accuracy") == [0.5, 0.9375, 1.0]
    with pytest.raises(ValueError, match="there are loss, validation loss, accuracy; got 'nosuch'"):
        HISTORY.curve("nosuch")
    assert HISTORY.members is None
    assert HISTORY.metrics == ["accuracy"]
    assert STACK.members == 2
    assert STACK.curve("loss") == [[2.0, 3.0], STACK.epochs[1].loss]
    assert STACK.curve("loss", 0) == [2.0, 1.0]
    assert STACK.curve("validation loss", 1) == [2.0, 1.5]
    assert STACK.curve("accuracy", 1) == [0.25, 0.5]
    with pytest.raises(ValueError, match="the history is of 2; got member 2"):
        STACK.curve("loss", 2)
    with pytest.raises(ValueError, match="of a single network, not a stack; got member 0"):
        HISTORY.curve("loss", 0)
    assert STACK.metrics == ["accuracy", "confusion_matrix"]
    assert (History().members, History().metrics, History().curve("loss")) == (None, [], [])


def test_history_that_cannot_be_written_leaves_the_old(tmp_path: Path) -> None:
    broken: Any = [*HISTORY.epochs, "not an epoch"]
    (tmp_path / "history.csv").write_bytes(b"old")
    with pytest.raises(AttributeError):
        History(broken).write_csv(tmp_path / "history.csv")
    assert content(tmp_path) == {"history.csv": b"old"}


def test_the_best_member_of_a_stack() -> None:
    def history(*losses: float) -> History:
        validation = {"loss": list(losses), "accuracy": [0.5, 0.9, 0.7], "names": ["a", "b", "c"]}
        return History([Epoch(1, [3.0, 1.0, 2.0], validation, 1.0, 1.0)])

    found = history(0.3, 0.2, 0.1)
    assert found.best_member() == 2
    assert found.best_member("loss") == 1
    assert found.best_member("accuracy") == 1
    assert history(float("nan"), 0.2, 0.3).best_member() == 1
    with pytest.raises(ValueError, match="no number was measured for 'names'"):
        found.best_member("names")
    with pytest.raises(ValueError, match="of a single network, not of a stack"):
        History([Epoch(1, 3.0, {}, 1.0, 1.0)]).best_member("loss")


def test_the_best_member_with_the_weights_it_holds() -> None:
    accuracies = [[0.5, 0.9], [0.8, 0.7], [0.6, 0.65]]
    epochs = [Epoch(k, [1.0, 1.0], {"accuracy": a}, 1.0, 1.0) for k, a in enumerate(accuracies, 1)]
    assert History(epochs).best_member("accuracy") == 1
    assert History(epochs, best=[2, 3]).best_member("accuracy") == 0
    assert History(epochs, best=[2, 1]).best_member("accuracy") == 1
