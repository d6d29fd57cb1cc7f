from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_training import (
    assert_equal,
    network,
    on_numpy,
    problem,
    train,
    values,
    without_times,
)
from test_functional_labels import INTEGERS
from variants import Variant, make, params

from xpnet import (
    SGD,
    Affine,
    EarlyStopping,
    History,
    MeanSquaredError,
    Network,
    NonFiniteLossError,
    SigmoidWithLoss,
    TwoLayerNet,
    evaluate,
    fit,
    get_backend,
)
from xpnet.functional._array import array_namespace
from xpnet.initializers import Initializer
from xpnet.training.batches import epoch_batches, split_rows


def test_it_learns_and_reports(eager: Variant) -> None:
    x, t = problem(eager)
    net = network(eager)
    history = fit(net, x, t, optimizer=SGD(0.5), epochs=40, batch_size=20, validation=(x, t),
                  progress=False)
    assert [e.epoch for e in history.epochs] == list(range(1, 41))
    assert history.epochs[-1].loss < 0.3 * history.epochs[0].loss
    last = history.epochs[-1].validation
    assert list(last) == ["loss", "accuracy"]
    assert last["accuracy"] >= 0.9
    assert last["accuracy"] == float(net.accuracy(x, t))
    assert last["loss"] == pytest.approx(float(net.loss(x, t, train_flg=False)), rel=1e-12)
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


def test_the_callers_arrays_are_left_alone(eager: Variant) -> None:
    x, t = problem(eager)
    before = [eager.backend.to_numpy(a).copy() for a in (x, t)]
    net = network(eager)
    W = net.params["W1"]
    W_before = eager.backend.to_numpy(W).copy()
    fit(net, x, t, optimizer=SGD(0.5), epochs=1, batch_size=20, progress=False)
    eager.check_all((x, t, W), (*before, W_before), rtol=0)


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

    def update(self, params: Any, grads: Any, state: Any, *, stack_axes: int = 0) -> Any:
        params, _ = super().update(params, grads, {})
        step = state["step"]
        factor = array_namespace(step).where(step < self.steps, 0 * step + 1, float("nan"))
        return {k: p * factor for k, p in params.items()}, {"step": step + 1}


def test_a_last_step_that_breaks_the_parameters_is_found(eager: Variant) -> None:
    x, t = problem(eager)
    net = network(eager)
    before = eager.backend.to_numpy(net.params["W1"]).copy()
    with pytest.raises(NonFiniteLossError, match="step 3 of epoch 1 made parameters NaN or inf"):
        fit(net, x, t, optimizer=Breaking(steps=2), epochs=1, batch_size=20, progress=False)
    eager.check(net.params["W1"], before, rtol=0)


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


def test_bad_data(eager: Variant) -> None:
    x, t = problem(eager)
    asarray = eager.asarray
    bad: list[tuple[dict[str, Any], str]] = [
        ({"t": asarray(np.full(60, 3))}, r"training data: labels from 0 to 2 wanted; got 3 to 3"),
        ({"t": asarray(np.full(60, -1))}, r"labels from 0 to 2 wanted; got -1 to -1"),
        ({"t": asarray(np.zeros(59, int))}, r"as many rows of t as of x wanted, 60; got 59"),
        ({"t": asarray(np.zeros((60, 4)))}, r"training data .*t \(60, 4\).*one-hot .* shape"),
        ({"x": asarray(np.ones((60, 3)))}, r"training data \(x \(60, 3\).*Affine1 .*\(N, 2\)"),
        ({"x": asarray(np.ones((0, 2))), "t": asarray(np.ones(0, int))}, "at least one row wanted"),
        ({"validation": (x, asarray(np.full(60, 9)))}, "validation data: labels from 0 to 2"),
        ({"batch_size": 61}, "batch_size 61 for 60 rows"),
    ]
    holes = eager.backend.to_numpy(x).copy()
    holes[3, 1] = np.nan
    bad.append(({"x": asarray(holes)}, "training data: finite numbers wanted; x holds NaN"))
    net = network(eager)
    for options, words in bad:
        with pytest.raises(ValueError, match=words):
            train(net, **{"x": x, "t": t, **options})
    assert_equal(net, network(eager))


@pytest.mark.parametrize("variant", params("torch", "strict"))
def test_data_on_another_device(variant: str) -> None:
    xp = make(variant)
    x, t = problem(xp)
    elsewhere = get_backend("torch:meta" if variant == "torch" else "strict:device2")
    for data, name in (((elsewhere.asarray(np.ones((60, 2))), t), "x"),
                       ((x, elsewhere.asarray(np.ones(60, int))), "t")):
        with pytest.raises(ValueError, match=f"training data: {name} wanted on .*, as the network"):
            train(network(xp), *data)


@pytest.mark.parametrize("variant", params("numpy", "torch", "strict"))
def test_a_validation_split_is_that_of_the_seed(variant: str) -> None:
    eager = make(variant)
    x, t = problem(eager)
    net = network(eager)
    history = train(net, x, t, validation=0.25, seed=3, batch_size=9)
    rows, held = split_rows(60, 0.25, 3)
    assert (len(rows), len(held)) == (45, 15)
    by_hand = network(eager)
    host = [eager.backend.to_numpy(a) for a in (x, t)]
    data = [tuple(eager.asarray(a[part]) for a in host) for part in (rows, held)]
    expected = train(by_hand, *data[0], validation=data[1], seed=3, batch_size=9)
    assert_equal(net, by_hand)
    assert without_times(history) == without_times(expected)


def test_a_regression() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((100, 3))
    t = x @ [1.0, -2.0, 3.0] + 0.5
    net = Network([Affine(*Initializer(seed=0).affine(3, 1))], MeanSquaredError())
    history = train(net, x, t, epochs=50, validation=0.1, optimizer=SGD(0.1))
    last = history.epochs[-1].validation
    assert list(last) == ["loss", "r2_score"]
    assert last["r2_score"] > 0.9999
    np.testing.assert_allclose(net.params["W1"][:, 0], [1, -2, 3], rtol=1e-3)


def test_answers_of_yes_and_no() -> None:
    x, _ = on_numpy()
    t = np.stack([x[:, 0] > 0, x[:, 1] > x[:, 0]], axis=1)
    net = Network([Affine(*Initializer(seed=0).affine(2, 2))], SigmoidWithLoss())
    last = train(net, x, t, epochs=60, validation=(x, t)).epochs[-1].validation
    assert list(last) == ["loss", "binary_accuracy"]
    assert last["binary_accuracy"] == np.mean((net.predict(x) > 0) == t) > 0.95


@pytest.mark.parametrize("variant", params("numpy", "torch", "strict"))
def test_a_row_of_weight_0_has_no_influence_and_one_of_weight_2_counts_twice(
    variant: str
) -> None:
    eager = make(variant)
    x, t = (eager.backend.to_numpy(a) for a in problem(eager, rows=6))
    weight = np.array([1.0, 0, 2, 1, 0, 1])
    weighted, doubled = network(eager), network(eager)
    broken = x.copy()
    broken[weight == 0] = 1e6
    rows = np.repeat(np.arange(6), weight.astype(int))
    train(weighted, *map(eager.asarray, (broken, t)), sample_weight=eager.asarray(weight),
          batch_size=6, epochs=2)
    train(doubled, *map(eager.asarray, (x[rows], t[rows])), batch_size=len(rows), epochs=2)
    assert_equal(weighted, doubled, rtol=1e-10, atol=1e-13)


def test_early_stopping_ends_with_the_best_weights() -> None:
    x, t = on_numpy()
    wrong = (t + 1) % 3  # the better it learns, the worse this is
    net, best = network(make("numpy")), network(make("numpy"))
    history = train(net, x, t, epochs=9, validation=(x, wrong),
                    early_stopping=EarlyStopping(2))
    losses = history.curve("validation loss")
    assert losses[0] == min(losses)
    assert len(losses) == 3
    train(best, x, t, epochs=1)
    assert_equal(net, best)


def test_what_the_best_is_by_a_metric() -> None:
    x, t = on_numpy()
    net = network(make("numpy"))
    kept = []
    history = train(net, x, t, epochs=30, validation=(x, t), early_stopping=EarlyStopping(
        4, "accuracy"), callbacks=[lambda net, _: kept.append(values(net))])
    accuracies = history.curve("accuracy")
    best = int(np.argmax(accuracies))
    assert len(accuracies) == best + 5 < 30
    assert_equal(net, kept[best])


def test_it_computes_with_the_fast_kernels_of_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = make("numpy").backend
    called: list[int] = []

    def relu(x: Any) -> Any:
        called.append(len(x))
        return np.maximum(x, 0)

    monkeypatch.setattr(type(backend), "kernels", {"relu": relu})
    x, t = on_numpy()
    net = network(make("numpy"))
    train(net, x, t, epochs=1, batch_size=20, validation=(x[:7], t[:7]))
    assert called[-4:] == [20, 20, 20, 7]
    called.clear()
    net.predict(x)
    assert called == []  # the network is as it was
    evaluate(net, x, t, batch_size=40)
    assert called[-2:] == [40, 20]


def test_a_network_without_parameters() -> None:
    with pytest.raises(ValueError, match="a network with parameters is wanted"):
        train(Network([]), *on_numpy())
