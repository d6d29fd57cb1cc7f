from __future__ import annotations

import sys
from typing import Any

import pytest
import tqdm.auto
from small_training import network, on_numpy, train
from variants import make

from xpnet import SGD, Checkpoints, History
from xpnet.training import Epoch
from xpnet.training.progress import Progress

X, T = on_numpy()


class Bar:
    """A bar that remembers what it is told."""

    made: list[Bar]

    def __init__(self, **options: Any) -> None:
        self.options, self.shown, self.said, self.closed = options, options["initial"], [""], False
        self.made.append(self)

    def update(self, samples: int) -> None:
        self.shown += samples

    def set_postfix_str(self, text: str, refresh: bool) -> None:
        self.said.append(text)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[Bar]:
    monkeypatch.setattr(Bar, "made", [], raising=False)
    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    return Bar.made


def test_it_counts_samples_and_says_loss_and_metrics(bars: list[Bar]) -> None:
    history = train(network(make("numpy")), X, T, progress=True, validation=(X, T),
                    metrics=["accuracy", "confusion_matrix"])
    (bar,) = bars
    assert (bar.options["total"], bar.options["initial"]) == (3 * 60, 0)
    assert bar.shown == 180
    assert bar.closed
    last = history.epochs[-1]
    assert bar.said[-1] == f"loss {last.loss:.4f}, accuracy {last.validation['accuracy']:.4f}"


def test_a_run_that_goes_on_begins_where_it_is(bars: list[Bar], tmp_path: Any) -> None:
    history = train(network(make("numpy")), X, T, epochs=2)
    train(network(make("numpy")), X, T, epochs=1, history=history, progress=True)
    train(network(make("numpy")), X, T, epochs=1, checkpoints=tmp_path)
    train(network(make("numpy")), X, T, epochs=4, checkpoints=tmp_path, resume=True, progress=True)
    assert [(bar.options["initial"], bar.options["total"], bar.shown) for bar in bars] == [
        (120, 180, 180), (60, 240, 240)]


def test_of_a_stack_it_says_the_means(bars: list[Bar]) -> None:
    history = train(network(make("numpy"), [0, 1]), X, T, progress=True, validation=(X, T))
    last = history.epochs[-1]
    assert bars[0].said[-1] == (
        f"loss {sum(last.loss) / 2:.4f}, accuracy {sum(last.validation['accuracy']) / 2:.4f}")


@pytest.mark.filterwarnings("ignore:(invalid|overflow|divide)")
def test_networks_that_came_to_nothing_are_left_out(bars: list[Bar]) -> None:
    history = train(network(make("numpy"), [0, 1]), X, T, progress=True, optimizer=SGD([0.5, 1e300]))
    assert bars[0].said[-1] == f"loss {history.epochs[-1].loss[0]:.4f}"
    with Progress(10, 0, True) as progress:
        progress.end_epoch(History([Epoch(1, [float("nan"), float("inf")], {}, 1.0, 1.0)]))
    assert bars[-1].said[-1] == "loss nan"


def test_it_is_closed_when_training_breaks_off(bars: list[Bar]) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(network(make("numpy")), X, T, progress=True, callbacks=[stop])
    assert bars[0].closed


def test_without_tqdm(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    net = network(make("numpy"))
    before = dict(net.params)
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(ImportError, match=r"progress=False goes without.*xpnet\[train\]"):
        train(net, X, T, progress=True, checkpoints=checkpoints)
    assert all(net.params[name] is p for name, p in before.items())
    assert len(train(net, X, T, checkpoints=checkpoints).epochs) == 3


def test_where_nobody_looks(bars: list[Bar], monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: Any, **__: Any) -> None:
        raise BrokenPipeError

    for name in ("update", "set_postfix_str", "close", "__init__"):
        with monkeypatch.context() as patch:
            patch.setattr(Bar, name, gone)
            assert len(train(network(make("numpy")), X, T, progress=True).epochs) == 3
    monkeypatch.setattr(sys, "stderr", None)
    bars.clear()
    train(network(make("numpy")), X, T, progress=True)
    assert bars == []
