from __future__ import annotations

import signal
from typing import Any

import numpy as np
import pytest
from test_functional_labels import INTEGERS
from variants import Variant, make, params

from xpnet import SGD, History, NonFiniteLossError, TwoLayerNet, fit, get_backend
from xpnet.functional._array import array_namespace
from xpnet.training.batches import epoch_batches


def problem(xp: Variant, rows: int = 60) -> tuple[Any, Any]:
    """Give points on a plane, of three classes that lines divide."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, 2))
    t = np.digitize(x[:, 0] - x[:, 1], [-0.7, 0.7])
    return xp.asarray(x), xp.asarray(t.astype("uint8"))


def network(xp: Variant, seed: Any = 0) -> TwoLayerNet:
    return TwoLayerNet(2, 16, 3, "he", seed=seed, backend=xp.backend, dtype="float64")


def test_it_learns_and_reports(eager: Variant) -> None:
    x, t = problem(eager)
    net = network(eager)
    history = fit(net, x, t, optimizer=SGD(0.5), epochs=40, batch_size=20, validation=(x, t),
                  progress=False)
    assert [e.epoch for e in history.epochs] == list(range(1, 41))
    assert history.epochs[-1].loss < 0.3 * history.epochs[0].loss
    last = history.epochs[-1].accuracy
    assert last is not None
    assert last >= 0.9
    assert last == float(net.accuracy(x, t))
    assert all(e.samples_per_second > 0 for e in history.epochs)
    assert all(a.seconds < b.seconds
               for a, b in zip(history.epochs, history.epochs[1:], strict=False))


def test_it_is_the_books_loop(eager: Variant) -> None:
    x, t = problem(eager, rows=25)
    net, by_hand = network(eager), network(eager)
    history = fit(net, x, t, optimizer=SGD(0.1), epochs=3, batch_size=10, seed=7, progress=False)
    for epoch in (1, 2, 3):
        losses = []
        batches = epoch_batches(25, 10, seed=7, epoch=epoch)
        assert batches.shape == (2, 10)
        for rows in batches:
            index = eager.asarray(rows)
            take = eager.namespace.take
            loss, grads = by_hand.loss_and_gradient(take(x, index, axis=0), take(t, index, axis=0))
            losses.append(float(loss))
            for key in by_hand.params:
                by_hand.params[key] -= 0.1 * grads[key]
        assert history.epochs[epoch - 1].loss == pytest.approx(np.mean(losses), rel=1e-12)
    for name in net.params:
        eager.check(net.params[name], eager.backend.to_numpy(by_hand.params[name]), rtol=1e-12,
                    atol=1e-15)


def test_batches_hold_each_row_once_and_differ_by_epoch() -> None:
    first, again, second, other = (
        epoch_batches(103, 10, seed, epoch) for seed, epoch in ((0, 1), (0, 1), (0, 2), (1, 1)))
    assert first.shape == (10, 10)
    assert len(np.unique(first)) == 100
    assert first.min() >= 0
    assert first.max() < 103
    np.testing.assert_array_equal(first, again)
    assert (first != second).any()
    assert (first != other).any()


def test_the_callers_arrays_are_left_alone(eager: Variant) -> None:
    x, t = problem(eager)
    before = [eager.backend.to_numpy(a).copy() for a in (x, t)]
    net = network(eager)
    W = net.params["W1"]
    W_before = eager.backend.to_numpy(W).copy()
    fit(net, x, t, optimizer=SGD(0.5), epochs=1, batch_size=20, progress=False)
    eager.check_all((x, t, W), (*before, W_before), rtol=0)


class Interrupt(SGD):
    """An optimiser that is interrupted after so many steps."""

    def __init__(self, steps: int) -> None:
        super().__init__(0.5)
        self.steps = steps

    def update(self, params: Any, grads: Any, state: Any) -> Any:
        if self.steps == 0:
            signal.raise_signal(signal.SIGINT)
        self.steps -= 1
        return super().update(params, grads, state)


def test_an_interrupt_keeps_what_was_learnt() -> None:
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((60, 2)), rng.integers(0, 3, 60)
    whole, stopped = (TwoLayerNet(2, 16, 3, "he", seed=0) for _ in range(2))
    fit(whole, x[:60], t, optimizer=SGD(0.5), epochs=2, batch_size=20, progress=False)
    history = History()
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, x, t, optimizer=Interrupt(6), epochs=9, batch_size=20, progress=False,
            history=history)
    assert len(history.epochs) == 2
    for name in whole.params:
        np.testing.assert_array_equal(stopped.params[name], whole.params[name])


@pytest.mark.filterwarnings("ignore:(invalid|overflow|divide)")
def test_a_loss_that_becomes_nan_leaves_the_last_whole_epoch(eager: Variant) -> None:
    x, t = problem(eager)
    net = network(eager)
    history = History()
    fit(net, x, t, optimizer=SGD(0.5), epochs=1, batch_size=20, progress=False, history=history)
    kept = {name: eager.backend.to_numpy(p).copy() for name, p in net.params.items()}
    with pytest.raises(NonFiniteLossError, match=r"the loss became (nan|inf) at step \d of epoch 2"):
        fit(net, x, t, optimizer=SGD(1e300), epochs=5, batch_size=20, progress=False,
            history=history)
    assert len(history.epochs) == 1
    for name, p in net.params.items():
        eager.check(p, kept[name], rtol=0)


class Breaking(SGD):
    """An optimiser that makes parameters NaN after so many steps."""

    def __init__(self, steps: int) -> None:
        super().__init__(0.5)
        self.steps = steps

    def init(self, params: Any) -> Any:
        return {"step": 0 * params["W1"][0, 0]}  # an array: a compiled step counts, too

    def update(self, params: Any, grads: Any, state: Any) -> Any:
        params, _ = super().update(params, grads, {})
        step = state["step"]
        factor = array_namespace(step).where(step < self.steps, 0 * step + 1, float("nan"))
        return {k: p * factor for k, p in params.items()}, {"step": step + 1}


def test_a_last_step_that_breaks_the_parameters_is_found(eager: Variant) -> None:
    x, t = problem(eager)
    net = network(eager)
    before = eager.backend.to_numpy(net.params["W1"]).copy()
    with pytest.raises(NonFiniteLossError, match="last step of epoch 1 made parameters NaN or inf"):
        fit(net, x, t, optimizer=Breaking(steps=2), epochs=1, batch_size=20, progress=False)
    eager.check(net.params["W1"], before, rtol=0)


class BreakingThenInterrupted(Breaking):
    def update(self, params: Any, grads: Any, state: Any) -> Any:
        if state["step"] > self.steps:
            signal.raise_signal(signal.SIGINT)
        return super().update(params, grads, state)


def test_an_interrupt_does_not_keep_broken_parameters() -> None:
    x, t = problem(make("numpy"))
    net = network(make("numpy"))
    before = net.params["W1"].copy()
    with pytest.raises(KeyboardInterrupt):
        fit(net, x, t, optimizer=BreakingThenInterrupted(steps=1), epochs=1, batch_size=20,
            progress=False)
    np.testing.assert_array_equal(net.params["W1"], before)


def test_it_goes_on_from_a_history(eager: Variant) -> None:
    x, t = problem(eager)
    at_once, in_two = network(eager), network(eager)
    options: dict[str, Any] = {"optimizer": SGD(0.1), "batch_size": 10, "progress": False}
    whole = fit(at_once, x, t, epochs=4, **options)
    history = fit(in_two, x, t, epochs=1, **options)
    assert fit(in_two, x, t, epochs=3, history=history, **options) is history
    assert [e.epoch for e in history.epochs] == [1, 2, 3, 4]
    assert [e.loss for e in history.epochs] == [e.loss for e in whole.epochs]
    assert history.epochs[-1].seconds > history.epochs[0].seconds


@pytest.mark.parametrize("dtype", INTEGERS)
def test_labels_of_any_integer_dtype(eager: Variant, dtype: str) -> None:
    x, t = problem(eager)
    numbers = eager.asarray(eager.backend.to_numpy(t).astype(dtype))
    expected, found = (
        fit(network(eager), x, labels, optimizer=SGD(0.5), epochs=1, batch_size=20,
            progress=False).epochs[0].loss
        for labels in (t, numbers)
    )
    assert found == expected


def test_bfloat16(eager: Variant) -> None:
    if not hasattr(eager.namespace, "bfloat16"):
        pytest.skip(f"{eager.backend.name} has no bfloat16")
    x, t = problem(eager)
    net = TwoLayerNet(2, 16, 3, "he", seed=0, backend=eager.backend, dtype="bfloat16")
    history = fit(net, x, t, optimizer=SGD(0.5), epochs=30, batch_size=20, progress=False)
    assert history.epochs[-1].loss < 0.6 * history.epochs[0].loss


def test_bad_input(eager: Variant) -> None:
    x, t = problem(eager)
    asarray = eager.asarray
    def train(x: Any = x, t: Any = t, seed: Any = 0, **options: Any) -> None:
        fit(network(eager, seed), x, t,
            **{"optimizer": SGD(), "epochs": 1, "batch_size": 10, "progress": False, **options})
    for labels, message in (
        (np.full(60, 3), r"training data: labels from 0 to 2 wanted; got 3 to 3"),
        (np.full(60, -1), r"labels from 0 to 2 wanted; got -1 to -1"),
        (np.zeros(59, int), r"labels of shape \(60,\) wanted for 60 rows and 3 classes; got \(59"),
        (np.zeros((60, 4)), r"labels of shape \(60, 3\) wanted .* got \(60, 4\)"),
    ):
        with pytest.raises(ValueError, match=message):
            train(t=asarray(labels))
    holes = eager.backend.to_numpy(x).copy()
    holes[3, 1] = np.nan
    with pytest.raises(ValueError, match="training data: finite numbers wanted; x holds NaN"):
        train(x=asarray(holes))
    with pytest.raises(ValueError, match="validation data: labels from 0 to 2 wanted"):
        train(validation=(x, asarray(np.full(60, 9))))
    with pytest.raises(ValueError, match="batch_size 61 for 60 rows"):
        train(batch_size=61)
    with pytest.raises(ValueError, match="batch_size to be a whole number above 0; got 0"):
        train(batch_size=0)
    with pytest.raises(ValueError, match="epochs to be a whole number above 0; got 0"):
        train(epochs=0)
    with pytest.raises(ValueError, match=r"batch_size .* got 2\.5"):
        train(batch_size=2.5)
    with pytest.raises(ValueError, match=r"fit trains a single network; .* scores \(2, 1, 3\)"):
        train(seed=[0, 1])
    with pytest.raises(ValueError, match=r"Affine1 wants x of shape \(N, 2\)"):
        train(x=asarray(np.ones((60, 3))))


@pytest.mark.parametrize("variant", params("torch", "strict"))
def test_data_on_another_device(variant: str) -> None:
    xp = make(variant)
    x, t = problem(xp)
    elsewhere = get_backend("torch:meta" if variant == "torch" else "strict:device2")
    for data, name in (((elsewhere.asarray(np.ones((60, 2))), t), "x"),
                       ((x, elsewhere.asarray(np.ones(60, int))), "t")):
        with pytest.raises(ValueError, match=f"training data: {name} wanted on .*, as the network"):
            fit(network(xp), *data, optimizer=SGD(), epochs=1, batch_size=10, progress=False)
