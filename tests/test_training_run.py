from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_training import (
    assert_equal,
    deep_network,
    network,
    on_numpy,
    problem,
    train,
    without_times,
)
from variants import make, missing, params

from xpnet import (
    SGD,
    Adam,
    AdamW,
    Checkpoints,
    Dropout,
    EarlyStopping,
    History,
    Momentum,
    MultiLayerNet,
    Nesterov,
    Network,
    NonFiniteLossError,
)
from xpnet.optimizers import CosineDecay, Warmup
from xpnet.training.run import Run
from xpnet.training.step import first_carry

STEPS = 6
"""Steps of an epoch."""


class Stopped(Exception):  # noqa: N818
    """What ends a run in these tests."""


class StopsAt:
    """Makes an optimiser raise before a step."""

    def __init__(self, optimizer: Any, step: int, error: type[BaseException] = Stopped) -> None:
        self.optimizer, self.left, self.error = optimizer, step, error
        self.init = optimizer.init

    def update(self, *args: Any, **options: Any) -> Any:
        if self.left == 0:
            raise self.error
        self.left -= 1
        return self.optimizer.update(*args, **options)


def make_optimizer(name: str) -> Any:
    if name == "scheduled":
        return Adam(Warmup(CosineDecay(0.05, 20), 3))
    return {"Adam": Adam, "AdamW": AdamW, "Momentum": Momentum}[name](0.05)


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    """Give folders, one after the other."""
    names = (tmp_path / str(k) for k in range(10**6))
    return lambda: next(names)


def run_with_a_break(
    xp: Any, folder: Path, optimizer: Any, step: int, then: Any = None, **options: Any
) -> tuple[Any, History]:
    """Train to a step, and another network, perhaps on another library, from there to the end."""
    x, t = problem(xp)
    with pytest.raises(Stopped):
        train(deep_network(xp), x, t, optimizer=StopsAt(optimizer, step),
              checkpoints=Checkpoints(folder, seconds=0), **options)
    there = then or xp
    x, t = problem(there)
    net = deep_network(there, seed=123)  # its first weights do not matter
    options = {**options, "validation": (x, t)} if "validation" in options else options
    stops = StopsAt(optimizer, 10**9)
    return net, train(net, x, t, optimizer=stops, checkpoints=folder, resume=True, **options)


@pytest.mark.parametrize("name", ["Adam", "AdamW", "Momentum", "scheduled"])
def test_a_run_goes_on_bit_for_bit_from_any_step(name: str, folder: Any) -> None:
    x, t = on_numpy()
    whole = deep_network(make("numpy"))
    options: dict[str, Any] = {"validation": (x, t), "early_stopping": EarlyStopping(2), "seed": 5}
    expected = train(whole, x, t, optimizer=make_optimizer(name), **options)
    steps = range(1, 3 * STEPS) if name == "Adam" else [1, 5, 6, 7, 12, 17]
    for step in steps:
        net, history = run_with_a_break(make("numpy"), folder(), make_optimizer(name), step, **options)
        assert_equal(net, whole)
        assert without_times(history) == without_times(expected)


def test_a_run_that_early_stopping_ended_is_at_its_end(folder: Any) -> None:
    x, t = on_numpy()
    options: dict[str, Any] = {"validation": (x, (t + 1) % 3), "early_stopping": EarlyStopping(2),
                               "epochs": 20, "checkpoints": folder()}
    whole, again = network(make("numpy")), network(make("numpy"), seed=9)
    history = train(whole, x, t, **options)
    assert len(history.epochs) == 3
    resumed = train(again, x, t, resume=True, **options)
    assert resumed.epochs == history.epochs
    assert_equal(again, whole)


def test_a_stack_whose_member_is_settled_goes_on_bit_for_bit(folder: Any) -> None:
    x, t = on_numpy()
    options: dict[str, Any] = {"epochs": 6, "validation": 0.2, "batch_size": 8, "seed": [1, 2],
                               "early_stopping": EarlyStopping(1, "accuracy")}

    def optimizer() -> Any:
        return Adam([0.01, 1.0])

    whole = deep_network(make("numpy"), [3, 4])
    expected = train(whole, x, t, optimizer=optimizer(), **options)
    for step in (7, 13, 16):
        there = folder()
        with pytest.raises(Stopped):
            train(deep_network(make("numpy"), [3, 4]), x, t, optimizer=StopsAt(optimizer(), step),
                  checkpoints=Checkpoints(there, seconds=0), **options)
        net = deep_network(make("numpy"), [0, 0])
        history = train(net, x, t, optimizer=StopsAt(optimizer(), -1), checkpoints=there,
                        resume=True, **options)
        assert_equal(net, whole)
        assert without_times(history) == without_times(expected)


@pytest.mark.parametrize(("first", "then"), [
    ("torch", "torch"), ("strict", "strict"), ("torch", "jax"), ("numpy", "torch"),
    ("jax", "numpy"),
])
def test_on_and_to_other_libraries_it_is_the_same_within_rounding(
    first: str, then: str, folder: Any
) -> None:
    for library in (first, then):
        if reason := missing(library):
            pytest.skip(reason)
    xp, there = make(first), make(then)
    x, t = on_numpy()
    whole = deep_network(make("numpy"))
    options: dict[str, Any] = {"early_stopping": EarlyStopping(3), "seed": 5}
    expected = train(whole, x, t, optimizer=Momentum(0.1), validation=(x, t), **options)
    if first == "jax":  # it traces `update` once: nothing in it can count
        place = folder()
        x, t = problem(xp)
        train(deep_network(xp), x, t, optimizer=StopsAt(Momentum(0.1), -1), validation=(x, t),
              epochs=2, checkpoints=place, **options)
        x, t = problem(there)
        net = deep_network(there)
        history = train(net, x, t, optimizer=StopsAt(Momentum(0.1), -1), validation=(x, t),
                        checkpoints=place, resume=True, **options)
    else:
        x, t = problem(xp)
        net, history = run_with_a_break(xp, folder(), Momentum(0.1), 9, there, validation=(x, t),
                                        **options)
    assert_equal(net, whole, rtol=1e-8, atol=1e-12)
    assert history.curve("loss") == pytest.approx(expected.curve("loss"), rel=1e-9)


def test_more_epochs_and_fewer(folder: Any) -> None:
    x, t = on_numpy()
    place = folder()
    whole, net = network(make("numpy")), network(make("numpy"))
    train(whole, x, t, epochs=5)
    train(net, x, t, epochs=2, checkpoints=place)
    at_2 = network(make("numpy"), 7)
    assert len(train(at_2, x, t, epochs=1, checkpoints=place, resume=True).epochs) == 2
    assert_equal(at_2, net)
    net = network(make("numpy"), 8)
    assert len(train(net, x, t, epochs=5, checkpoints=place, resume=True).epochs) == 5
    assert_equal(net, whole)


def test_a_run_that_went_on_from_a_history_ends_where_it_would_have(folder: Any) -> None:
    x, t = on_numpy()
    place = folder()
    whole, first = network(make("numpy")), network(make("numpy"))
    train(whole, x, t, epochs=5)
    history = train(first, x, t, epochs=2)
    with pytest.raises(Stopped):
        train(first, x, t, epochs=3, history=history, optimizer=StopsAt(SGD(0.5), 8),
              checkpoints=Checkpoints(place, seconds=0))
    net = network(make("numpy"), 7)
    resumed = train(net, x, t, epochs=3, checkpoints=place, resume=True,
                    optimizer=StopsAt(SGD(0.5), -1))
    assert [e.epoch for e in resumed.epochs] == [1, 2, 3, 4, 5]
    assert_equal(net, whole)


def test_what_is_resumed_goes_into_the_callers_history(folder: Any) -> None:
    x, t = on_numpy()
    place = folder()
    train(network(make("numpy")), x, t, epochs=2, checkpoints=place)
    history = History()
    found = train(network(make("numpy")), x, t, epochs=3, checkpoints=place, resume=True,
                  history=history)
    assert found is history
    assert [e.epoch for e in history.epochs] == [1, 2, 3]
    assert history.epochs[1].seconds < history.epochs[2].seconds


def test_it_goes_on_from_before_a_broken_one(folder: Any) -> None:
    x, t = on_numpy()
    place = folder()
    whole = network(make("numpy"))
    train(whole, x, t, checkpoints=Checkpoints(place, seconds=0, keep=4))
    newest = place / f"step-000000{3 * STEPS}.safetensors"
    newest.write_bytes(newest.read_bytes()[:-9])
    checkpoints = Checkpoints(place)
    net = network(make("numpy"), 3)
    with pytest.warns(UserWarning, match=f"passed over: {newest}"):
        train(net, x, t, checkpoints=checkpoints, resume=True)
    assert_equal(net, whole)
    assert len(checkpoints.broken) == 1
    assert str(newest) in checkpoints.broken[0]


X, T = on_numpy()
OTHER: dict[str, tuple[dict[str, Any], str]] = {
    "batch size": ({"batch_size": 12}, "a run with batch size 10 can only go on with it; got 12"),
    "seed": ({"seed": 1}, "a run with seed 0 can only go on with it; got 1"),
    "data": ({"x": X[:-1], "t": T[:-1]}, "a run with rows 60 can only go on with it; got 59"),
    "split": ({"validation": 0.5}, "a run with rows 60 can only go on with it; got 30"),
    "optimizer": ({"optimizer": Nesterov(0.5)}, "with optimizer Momentum can only .* got Nesterov"),
    "state of the optimizer": ({"optimizer": Adam()}, '"optimizer/m/W1" .* wanted; there is none'),
    "width": ({"network": MultiLayerNet(2, [8, 9], 3, use_batchnorm=True, use_dropout=True)},
              r'another network.*"params/W2" of shape \(8, 9\) .* wanted; got \(8, 8\)'),
    "depth": ({"network": MultiLayerNet(2, [8], 3, use_batchnorm=True)}, "another network"),
    "activation": ({"network": MultiLayerNet(2, [8, 8], 3, "tanh", use_batchnorm=True,
                                             use_dropout=True)}, "a run with layers .*'Relu'.*'Tanh'"),
    "dropout": ({"network": MultiLayerNet(2, [8, 8], 3, use_batchnorm=True)},
                "a run with layers .*'Dropout'.* can only go on with it"),
    "dtype": ({"network": MultiLayerNet(2, [8, 8], 3, use_batchnorm=True, use_dropout=True,
                                        dtype="float32")}, "dtype float32 wanted; got .* float64"),
    "stack": ({"network": deep_network(make("numpy"), [0, 1])}, r'"params/W1" of shape \(2, 2, 8\)'),
    "stopping": ({"early_stopping": EarlyStopping(3), "validation": (X, T)},
                 '"best/params/W1" .* wanted; there is none'),
}


def test_another_number_to_monitor_is_refused(folder: Any) -> None:
    place, data = folder(), (X, T)
    train(network(make("numpy")), X, T, epochs=1, validation=data, checkpoints=place,
          early_stopping=EarlyStopping(3, "loss"))
    with pytest.raises(ValueError, match="with monitor loss can only go on with it; got accuracy"):
        train(network(make("numpy")), X, T, validation=data, checkpoints=place, resume=True,
              early_stopping=EarlyStopping(3, "accuracy"))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_error_after_resuming_leaves_what_was_learnt(folder: Any) -> None:
    place = folder()
    learnt = network(make("numpy"))
    train(learnt, X, T, epochs=2, checkpoints=place)
    net = network(make("numpy"), 5)
    history = History()
    with pytest.raises(NonFiniteLossError, match=f"the last checkpoint is {place}"):
        train(net, X, T, optimizer=SGD(1e300), checkpoints=place, resume=True, history=history)
    assert_equal(net, learnt)
    assert len(history.epochs) == 2


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_last_good_checkpoint_is_named(folder: Any) -> None:
    place = folder()
    train(network(make("numpy")), X, T, epochs=2, checkpoints=Checkpoints(place, seconds=0))
    good, broken = sorted(place.iterdir())[-2:]
    broken.write_bytes(b"")
    with (pytest.warns(UserWarning, match="passed over"),
          pytest.raises(NonFiniteLossError, match=f"the last checkpoint is {good}")):
        train(network(make("numpy")), X, T, optimizer=SGD(1e300), checkpoints=place, resume=True)


def test_an_error_of_a_callback_loses_nothing(folder: Any) -> None:
    def fails(_: object, history: History) -> None:
        if len(history.epochs) == 2:
            raise Stopped

    place = folder()
    with pytest.raises(Stopped):
        train(network(make("numpy")), X, T, checkpoints=place, callbacks=[fails])
    assert [p.name for p in place.glob("*.safetensors")] == [f"step-000000{2 * STEPS}.safetensors"]


class OddState(SGD):
    """Has a state that no file can hold."""

    def init(self, params: Any) -> Any:
        return {**super().init(params), "n": 0}


def test_what_cannot_be_saved_is_refused_before_the_first_step(folder: Any) -> None:
    net = network(make("numpy"))
    before = dict(net.params)
    with pytest.raises(TypeError, match="arrays of one array-API library"):
        train(net, X, T, optimizer=OddState(0.1), checkpoints=folder())
    assert net.params == before


def test_more_epochs_draw_other_masks() -> None:
    seen = []

    class Notes(Dropout):
        def forward(self, x: Any, train_flg: bool = True) -> Any:
            if train_flg and self._bound:
                seen.append(np.array(self.counter).tolist())
            return super().forward(x, train_flg)

    net = Network([Notes(), *network(make("numpy")).leaves()])
    history = train(net, X, T, epochs=1)
    train(net, X, T, epochs=1, history=history)
    assert seen == [[0, step] for step in range(2 * STEPS)]


@pytest.mark.parametrize("name", OTHER)
def test_what_is_of_another_run_is_refused(name: str, folder: Any) -> None:
    place = folder()
    train(deep_network(make("numpy")), X, T, optimizer=Momentum(0.5), epochs=1, checkpoints=place)
    given, words = OTHER[name]
    given = {"x": X, "t": T, "optimizer": Momentum(0.5), **given}
    net = given.pop("network", None) or deep_network(make("numpy"), seed=7)
    before = {**net.params, **net.state}
    with pytest.raises(ValueError, match=words) as caught:
        train(net, **given, checkpoints=place, resume=True)
    assert str(place) in str(caught.value)
    for key, a in {**net.params, **net.state}.items():
        assert a is before[key]


def test_a_folder_with_checkpoints_is_refused_if_it_is_not_resumed(folder: Any) -> None:
    place = folder()
    train(network(make("numpy")), X, T, epochs=1, checkpoints=place)
    before = sorted(place.iterdir())
    with pytest.raises(ValueError, match=r"step-00000006.safetensors is of an earlier run: resume"):
        train(network(make("numpy")), X, T, epochs=1, checkpoints=place)
    assert sorted(place.iterdir()) == before


def test_what_a_checkpoint_holds(folder: Any) -> None:
    from safetensors.numpy import load_file

    place = folder()
    net = deep_network(make("numpy"))
    train(net, X, T, optimizer=Adam(), epochs=2, seed=9, validation=(X, T),
          early_stopping=EarlyStopping(3), checkpoints=place)
    (path,) = place.iterdir()
    tensors = load_file(path)
    names = [*net.params, *net.state]
    assert {name.split("/")[0] for name in tensors} == {
        "params", "state", "optimizer", "counter", "best"}
    assert len(tensors) == len(names) + 2 * len(net.params) + 1 + 1 + len(names)
    np.testing.assert_array_equal(tensors["counter"], [9, 12])
    raw = path.read_bytes()
    header = json.loads(raw[8:8 + int.from_bytes(raw[:8], "little")])
    about = json.loads(header["__metadata__"]["xpnet"])
    assert [row["epoch"] for row in about["history"]] == [1, 2]


def a_run(losses: int) -> tuple[Run, Any]:
    net = network(make("numpy"))
    backend = make("numpy").backend
    carry = first_carry(net, SGD(0.1), backend.asarray(np.zeros(2, np.int32)))
    run = Run(backend, carry, History(), None, {"steps": losses})
    return run, carry


def test_taking_note_of_a_step_costs_the_same_in_a_long_epoch() -> None:
    run, carry = a_run(0)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        for k in range(20_000):
            run.advance(carry, np.float64(k))
        run.read_losses()
        times.append(time.perf_counter() - start)
    assert run.steps == 60_000
    assert min(times[1:]) < 5 * times[0] + 0.1
    np.testing.assert_array_equal(run.read_losses(), np.tile(np.arange(20_000.0), 3))


def test_a_step_that_was_interrupted_half_way_leaves_nothing() -> None:
    run, carry = a_run(5)
    run.advance(carry, np.float64(1))
    run._losses.append(np.float64(99))  # as an interrupt in `advance` leaves it
    np.testing.assert_array_equal(run.read_losses(), [1])
    run.advance(carry, np.float64(2))
    np.testing.assert_array_equal(run.read_losses(), [1, 2])
    assert run.steps == 2


@pytest.mark.parametrize("variant", params("torch"))
def test_losses_of_a_stack(variant: str) -> None:
    xp = make(variant)
    run = Run(xp.backend, {"params": {}, "state": {}}, History(), None, {"steps": 2})
    for k in range(3):
        run.advance(run.carry, xp.asarray(np.array([k, 10.0 * k])))
        if k == 1:
            np.testing.assert_array_equal(run.read_losses(), [[0, 0], [1, 10]])
    np.testing.assert_array_equal(run.read_losses(), [[0, 0], [1, 10], [2, 20]])


def test_seconds_count_on_after_a_resume(tmp_path: Path) -> None:
    def slow(net: Any, history: History) -> None:
        time.sleep(0.3)

    x, t = on_numpy()
    train(network(make("numpy")), x, t, epochs=1, callbacks=[slow], checkpoints=tmp_path)
    history = train(network(make("numpy")), x, t, epochs=2, checkpoints=tmp_path, resume=True)
    first, second = (epoch.seconds for epoch in history.epochs)
    assert first < 0.3 < second  # what came after the first epoch, before its checkpoint, counts
