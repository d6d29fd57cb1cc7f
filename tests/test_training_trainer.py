from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from types import FrameType
from typing import Any, Self

import numpy as np
import pytest
from small_training import (
    assert_equal,
    deep_network,
    network,
    on_numpy,
    train,
    values,
    without_times,
)
from test_training_loop import Breaking
from variants import make

from xpnet import SGD, Adam, Checkpoints, EarlyStopping, History
from xpnet.training import pace
from xpnet.training.run import Run

X, T = on_numpy()
NUMPY = make("numpy")
INTERRUPTS = int(os.environ.get("XPNET_INTERRUPTS", "15"))


class Interrupt(SGD):
    """An optimiser that is interrupted after so many steps."""

    def __init__(self, steps: int) -> None:
        super().__init__(0.5)
        self.steps = steps

    def update(self, *args: Any, **options: Any) -> Any:
        if self.steps == 0:
            raise KeyboardInterrupt
        self.steps -= 1
        return super().update(*args, **options)


def test_an_interrupt_keeps_what_was_learnt() -> None:
    whole, stopped = network(NUMPY), network(NUMPY)
    train(whole, X, T, epochs=2, batch_size=20)
    history = History()
    with pytest.raises(KeyboardInterrupt):
        train(stopped, X, T, optimizer=Interrupt(6), epochs=9, batch_size=20, history=history)
    assert len(history.epochs) == 2
    assert_equal(stopped, whole)


def test_an_interrupt_keeps_the_steps_of_an_epoch_that_is_not_done(tmp_path: Path) -> None:
    whole, stopped, by_hand = (network(NUMPY) for _ in range(3))
    kept: list[Any] = []

    class Keeping(SGD):
        def update(self, *args: Any, **options: Any) -> Any:
            out = super().update(*args, **options)
            kept.append(out[0])
            return out

    train(whole, X, T, epochs=1, optimizer=Keeping(0.5))
    with pytest.raises(KeyboardInterrupt):
        train(stopped, X, T, optimizer=Interrupt(4), checkpoints=tmp_path)
    by_hand.params.update(kept[3])
    assert_equal(stopped, by_hand)
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000004.safetensors"]


class BreakingThenInterrupted(Breaking):
    def update(self, params: Any, grads: Any, state: Any, **options: Any) -> Any:
        if state["step"] > self.steps:
            raise KeyboardInterrupt
        return super().update(params, grads, state, **options)


def test_an_interrupt_does_not_keep_broken_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "INTERVAL", 1e9)
    net = network(NUMPY)
    before = values(net)
    with pytest.raises(KeyboardInterrupt):
        train(net, X, T, optimizer=BreakingThenInterrupted(steps=1), checkpoints=tmp_path)
    assert_equal(net, before)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_keeps_a_stack_with_a_broken_member(tmp_path: Path) -> None:
    with np.errstate(all="ignore"):
        net, expected = (network(NUMPY, seed=[0, 1]) for _ in range(2))

        class Both(Interrupt):
            def __init__(self, steps: int) -> None:
                super().__init__(steps)
                vars(self)["lr"] = (0.5, 1e300)

        train(expected, X, T, optimizer=Both(-1), epochs=2, seed=[0, 1])
        with pytest.raises(KeyboardInterrupt):
            train(net, X, T, optimizer=Both(12), epochs=9, seed=[0, 1], checkpoints=tmp_path)
    assert_equal(net, expected)
    assert np.isnan(net.params["W1"][1]).any()
    assert np.isfinite(net.params["W1"][0]).all()
    assert (tmp_path / "step-00000012.safetensors").exists()


def test_an_interrupt_finds_an_epoch_in_the_history_that_is_done(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = Run.publish
    struck: list[bool] = []

    def interrupted(run: Run) -> None:
        if run.epoch == 3 and not struck:
            struck.append(True)
            raise KeyboardInterrupt
        publish(run)

    monkeypatch.setattr(Run, "publish", interrupted)
    history = History()
    with pytest.raises(KeyboardInterrupt):
        train(network(NUMPY), X, T, history=history)
    assert [e.epoch for e in history.epochs] == [1, 2]


class InterruptAt:
    """Raises KeyboardInterrupt before one of the bytecodes of the training's files."""

    FILES = ("trainer.py", "pace.py", "run.py", "stopping.py", "data.py", "evaluation.py", "loop.py",
             "history.py", "step.py", "progress.py", "checkpoints.py", "atomic.py",
             "numpy_playing.py")

    def __init__(self, event: int) -> None:
        self.event = event
        self.seen: list[tuple[str, int | None]] = []

    def __enter__(self) -> Self:
        sys.settrace(self.call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def call(self, frame: FrameType, event: str, _: Any) -> Any:
        path = Path(frame.f_code.co_filename)
        if path.name not in self.FILES or path.parent.name not in ("training", "xpnet_backends"):
            return None
        frame.f_trace_opcodes = True
        return self.opcode

    def opcode(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "opcode":
            self.seen.append((frame.f_code.co_filename, frame.f_lineno))
            if len(self.seen) == self.event:
                raise KeyboardInterrupt
        return self.opcode


def whole_run(folder: Path, net: Any, **options: Any) -> History:
    """Train with all that there is, from the newest checkpoint if there is one."""
    checkpoints = Checkpoints(folder)
    resume = checkpoints.newest() is not None
    return train(net, X, T, epochs=3, optimizer=Adam(0.05), validation=0.2, batch_size=8, seed=2,
                 early_stopping=EarlyStopping(1, "accuracy"), checkpoints=checkpoints,
                 resume=resume, **options)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of files between `open` and `with`
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_at_any_moment_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "INTERVAL", 0.0)
    monkeypatch.setattr(os, "fsync", lambda file: None)
    net = deep_network(NUMPY)
    expected = whole_run(tmp_path / "whole", net)
    with InterruptAt(-1) as counting:
        whole_run(tmp_path / "counted", deep_network(NUMPY))
    events: dict[Any, list[int]] = {}
    for event, line in enumerate(counting.seen, start=1):
        events.setdefault(line, []).append(event)
    assert len(counting.seen) > 5000
    assert len(events) > 200
    rng = np.random.default_rng(0)
    lines = rng.permutation(len(events))[:INTERRUPTS]  # what is short is struck as often
    chosen = [int(rng.choice(list(events.values())[line])) for line in lines]
    caught = written = 0
    for event in chosen:
        folder, stopped, history = tmp_path / str(event), deep_network(NUMPY), History()
        first = values(stopped)
        try:
            with InterruptAt(event):
                whole_run(folder, stopped, history=history)
        except KeyboardInterrupt:
            caught += 1
        gc.collect()  # it may have come before the folder's lock was given back
        assert all(np.isfinite(a).all() for a in values(stopped).values())
        assert without_times(history) == without_times(expected)[:len(history.epochs)]
        if Checkpoints(folder).newest() is None:  # before the first step, or with nothing to lose
            assert_equal(stopped, first)
        else:
            written += 1
        again = deep_network(NUMPY, seed=99) if folder.exists() and any(folder.iterdir()) \
            else deep_network(NUMPY)
        assert without_times(whole_run(folder, again)) == without_times(expected), event
        assert_equal(again, net)
    assert caught > 0.8 * len(chosen)
    assert written > 0.3 * len(chosen)


def test_ctrl_c_in_a_callback(tmp_path: Path) -> None:
    def interrupt(net: Any, history: History) -> None:
        if len(history.epochs) == 2:
            raise KeyboardInterrupt

    whole, stopped, history = network(NUMPY), network(NUMPY), History()
    train(whole, X, T, epochs=2)
    with pytest.raises(KeyboardInterrupt):
        train(stopped, X, T, callbacks=[interrupt], history=history, checkpoints=tmp_path)
    assert len(history.epochs) == 2
    assert_equal(stopped, whole)
    resumed = network(NUMPY, seed=7)
    assert len(train(resumed, X, T, checkpoints=tmp_path, resume=True).epochs) == 3
    train(whole, X, T, epochs=1, history=history)
    assert_equal(resumed, whole)


def test_callbacks_see_what_was_learnt_after_each_epoch() -> None:
    net, expected = network(NUMPY), network(NUMPY)
    seen: list[Any] = []
    train(net, X, T, callbacks=[lambda net, history: seen.append(
        (len(history.epochs), values(net)))])
    assert [number for number, _ in seen] == [1, 2, 3]
    for number, held in seen:
        history = History()
        train(expected, X, T, epochs=number, history=history)
        assert_equal(held, expected)
        expected = network(NUMPY)


@pytest.mark.parametrize(("answer", "epochs"), [
    (True, 2), (np.True_, 2), (False, 3), (None, 3), (1, 3), ("stop", 3),
])
def test_true_stops(answer: Any, epochs: int, tmp_path: Path) -> None:
    called = []

    def stop(net: Any, history: History) -> Any:
        return answer if len(history.epochs) == 2 else None

    history = train(network(NUMPY), X, T, callbacks=[stop, lambda *_: called.append(1)],
                    checkpoints=tmp_path)
    assert len(history.epochs) == len(called) == epochs
    assert [p.name for p in tmp_path.iterdir()] == [f"step-{6 * epochs:08}.safetensors"]


def test_a_checkpoint_is_written_when_it_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    save = Checkpoints.save

    def watched(self: Any, arrays: Any, about: Any, step: int) -> Path:
        saved.append(step)
        return save(self, arrays, about, step)

    monkeypatch.setattr(Checkpoints, "save", watched)
    train(network(NUMPY), X, T, checkpoints=Checkpoints(tmp_path / "a", seconds=0))
    assert saved == [*range(1, 19), 18]
    saved.clear()
    train(network(NUMPY), X, T, checkpoints=Checkpoints(tmp_path / "b", seconds=1e6))
    assert saved == [18]


def test_losses_are_read_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    read = Run.read_losses

    def counted(run: Run) -> Any:
        reads.append(run.steps)
        return read(run)

    monkeypatch.setattr(Run, "read_losses", counted)
    monkeypatch.setattr(pace, "INTERVAL", 1e9)
    train(network(NUMPY), X, T)
    assert reads == [1, 6, 6, 6]  # once at the beginning, then at the end of each epoch


def test_speed_counts_a_row_for_each_network() -> None:
    single, shared, own = (
        train(network(NUMPY, seed), X, T, seed=seeds, epochs=1).epochs[0]
        for seed, seeds in ((0, 0), ([0] * 50, 0), ([0] * 50, list(range(50)))))
    assert own.samples_per_second > 2 * single.samples_per_second
    assert shared.samples_per_second > 2 * single.samples_per_second


def test_a_full_disk_ends_the_run_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saves = []
    fsync = os.fsync

    def full(file: int) -> None:
        saves.append(file)
        if len(saves) > 20:
            raise OSError(28, "No space left on device")
        fsync(file)

    whole, net = network(NUMPY), network(NUMPY)
    train(whole, X, T)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"No space left on device.*step-0"):
            train(net, X, T, checkpoints=Checkpoints(tmp_path, seconds=0))
    resumed = network(NUMPY, seed=7)
    train(resumed, X, T, checkpoints=tmp_path, resume=True)
    assert_equal(resumed, whole)
