"""Epochs, early stopping with partial_fit, interrupts, and what is said on the way."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from xpnet.sklearn import MLPClassifier, MLPRegressor
from xpnet.sklearn._network import PenalisedNetwork
from xpnet.sklearn._patience import Patience
from xpnet.sklearn._steps import Steps

X, Y = load_digits(return_X_y=True)
X = X[:600] / 16
Y = Y[:600]


def until_stopped(mlp: Any, *parts: tuple[Any, Any]) -> int:
    calls = 0
    while not getattr(mlp, "stopped_", False):
        mlp.partial_fit(*parts[calls % len(parts)], **({"classes": range(10)} if calls == 0 else {}))
        calls += 1
        assert calls < 1000
    return calls


def test_partial_fit_stops_early_and_holds_the_best_weights() -> None:
    mlp = MLPClassifier(early_stopping=True, n_iter_no_change=4, random_state=0, learning_rate_init=0.01)
    calls = until_stopped(mlp, (X, Y))
    scores = np.array(mlp.validation_scores_)
    assert len(scores) == calls
    assert mlp.best_validation_score_ == scores.max()
    assert scores.max() > 0.85
    assert np.argmax(scores) <= calls - 4
    other = MLPClassifier(early_stopping=True, n_iter_no_change=1000, random_state=0, learning_rate_init=0.01)
    for _ in range(int(np.argmax(scores)) + 1):
        other.partial_fit(X, Y, classes=range(10))
    np.testing.assert_allclose(mlp.coefs_[0], other.coefs_[0], rtol=1e-12)
    assert not other.stopped_
    mlp.partial_fit(X, Y)  # with new patience
    assert not mlp.stopped_


def test_early_stopping_may_be_switched_on_and_off() -> None:
    on, off = (MLPClassifier(random_state=0, early_stopping=flag) for flag in (True, False))
    for mlp in (on, off):
        mlp.partial_fit(X, Y, classes=range(10))
        mlp.set_params(early_stopping=not mlp.early_stopping)
        for _ in range(5):
            mlp.partial_fit(X, Y)
    assert on.validation_scores_ is on.best_validation_score_ is None
    assert on.best_loss_ == np.min(on.loss_curve_[1:])
    assert np.asarray(off.validation_scores_).size == 5
    assert off.best_loss_ is None
    assert off.best_validation_score_ == np.max(np.asarray(off.validation_scores_))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 20))
    y = (x[:, 0] + 2 * rng.standard_normal(400) > 0).astype(int)
    mlp = MLPClassifier(early_stopping=True, warm_start=True, max_iter=10, random_state=0)
    with pytest.warns(ConvergenceWarning):
        mlp.fit(x, y)
    with pytest.warns(ConvergenceWarning):
        mlp.set_params(early_stopping=False, max_iter=300, tol=0, n_iter_no_change=300).fit(x, y)
    assert mlp.n_iter_ == 300
    assert mlp.score(x, y) > 0.99


def test_tolerance_is_that_of_now() -> None:
    mlp = MLPClassifier(warm_start=True, max_iter=20, tol=10.0, n_iter_no_change=2, random_state=0).fit(X, Y)
    assert mlp.n_iter_ == 4
    with pytest.warns(ConvergenceWarning):
        assert mlp.set_params(tol=1e-9).fit(X, Y).n_iter_ == 20


def test_a_learning_rate_that_is_changed_holds_from_then_on() -> None:
    settings: list[dict[str, Any]] = [{"solver": "adam"}, {"solver": "sgd"}, {"solver": "sgd", "learning_rate": "adaptive"},
                    {"solver": "sgd", "learning_rate": "invscaling", "momentum": 0.0}]
    for options in settings:
        mlp = MLPClassifier(random_state=0, **options)
        mlp.partial_fit(X, Y, classes=range(10)).partial_fit(X, Y)
        before = mlp.coefs_[0].copy()
        mlp.set_params(learning_rate_init=1e-12).partial_fit(X, Y)
        assert 0 < abs(mlp.coefs_[0] - before).max() < 1e-9


def test_masks_follow_from_the_random_state_also_where_dropout_comes_later() -> None:
    found = []
    for seed in (0, 0, 1):
        mlp = MLPClassifier(random_state=0).partial_fit(X, Y, classes=range(10))
        found.append(mlp.set_params(dropout=0.5, random_state=seed, shuffle=False).partial_fit(X, Y).coefs_[0])
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()


def test_a_part_with_a_single_row_of_a_class() -> None:
    mlp = MLPClassifier(early_stopping=True, random_state=0)
    y = np.zeros(20, int)
    y[3] = 1
    mlp.partial_fit(X[:20], y, classes=[0, 1])
    assert np.asarray(mlp.validation_scores_).size == 1


def test_rows_held_out_need_weight() -> None:
    with pytest.raises(ValueError, match="early_stopping wants rows with a weight above 0"):
        MLPClassifier(early_stopping=True, random_state=0).fit(X[:50], Y[:50], np.arange(50) == 3)


def test_parts_of_any_size_take_no_memory() -> None:
    mlp = MLPClassifier(hidden_layer_sizes=200, random_state=0)
    x, y = np.tile(X, (1, 8)), Y
    mlp.partial_fit(x[:100], y[:100], classes=range(10))
    tracemalloc.start()
    for rows in range(20, 200):
        mlp.partial_fit(x[:rows], y[:rows])
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    weights = 8 * sum(c.size for c in mlp.coefs_)
    assert grown < 10 * weights  # and a step that is recorded has seven, for each size


def test_the_same_rows_stay_held_out() -> None:
    """Rows of data given again and again are never trained on: labels that make no sense stay unknown."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((200, 30)), rng.integers(0, 2, 200)
    mlp = MLPClassifier(early_stopping=True, n_iter_no_change=1000, random_state=None, alpha=0)
    for _ in range(300):
        mlp.partial_fit(x, y, classes=[0, 1])
    assert mlp.loss_ < 0.05
    assert np.max(np.asarray(mlp.validation_scores_)) < 0.9


def test_partial_fit_stops_early_on_a_stream() -> None:
    mlp = MLPRegressor(early_stopping=True, n_iter_no_change=30, random_state=0)
    target = X[:, 20] + X[:, 30]
    calls = 0
    while not getattr(mlp, "stopped_", False):
        part = slice(100 * (calls % 6), 100 * (calls % 6) + 100)
        mlp.partial_fit(X[part], target[part])
        calls += 1
        assert calls < 2000
    assert mlp.score(X, target) > 0.5


def test_fit_says_whether_it_stopped() -> None:
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(2\) reached"):
        assert not MLPClassifier(max_iter=2).fit(X, Y).stopped_
    assert MLPClassifier(tol=10.0, n_iter_no_change=2).fit(X, Y).stopped_


def test_an_interrupt_keeps_what_was_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    step, calls = Steps.__call__, 0

    def interrupted(self: Steps, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 20:
            raise KeyboardInterrupt
        return step(self, *arguments)

    monkeypatch.setattr(Steps, "__call__", interrupted)
    with pytest.warns(UserWarning, match=r"Training interrupted by user."):
        mlp = MLPClassifier(random_state=0).fit(X, Y)
    assert mlp.n_iter_ == 6  # of three steps each
    assert mlp.score(X, Y) > 0.3


def test_an_interrupt_of_lbfgs_keeps_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    compute, calls = PenalisedNetwork.loss_and_gradient, 0

    def interrupted(self: Any, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 15:
            raise KeyboardInterrupt
        return compute(self, *arguments)

    monkeypatch.setattr(PenalisedNetwork, "loss_and_gradient", interrupted)
    monkeypatch.setattr("xpnet_backends.numpy_backend.NumpyBackend.compile", lambda self, f, **_: f)
    with pytest.warns(UserWarning, match=r"Training interrupted by user."):
        mlp = MLPClassifier(random_state=0, solver="lbfgs").fit(X, Y)
    assert 0 < mlp.n_iter_ < 15
    assert mlp.score(X, Y) > 0.3


def test_warnings_point_at_the_program(recwarn: pytest.WarningsRecorder) -> None:
    MLPClassifier(max_iter=2, batch_size=1000).fit(X, Y[:, None])
    MLPClassifier(max_iter=2, solver="lbfgs").fit(X, Y)
    assert len(recwarn) == 4
    assert {w.filename for w in recwarn} == {__file__}


def test_verbose_says_what_scikit_learn_says(capsys: pytest.CaptureFixture[str]) -> None:
    MLPClassifier(verbose=True, random_state=0, early_stopping=True, tol=1.0, n_iter_no_change=1).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Iteration 1, loss = 2.")
    assert lines[1].startswith("Validation score: 0.")
    assert lines[-1] == ("Validation score did not improve more than tol=1.000000 for 1 consecutive epochs. "
                         "Stopping.")
    MLPClassifier(verbose=True, random_state=0, solver="sgd", learning_rate="adaptive", tol=10.0,
                  n_iter_no_change=1).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    assert "Setting learning rate to 0.000200" in lines[3]
    assert lines[-1].endswith("Learning rate too small. Stopping.")


def test_a_batch_of_more_rows_than_there_are() -> None:
    with pytest.warns(UserWarning, match="Got `batch_size` less than 1 or larger than sample size"), \
            pytest.warns(ConvergenceWarning):
        MLPClassifier(batch_size=1000, max_iter=2).fit(X, Y)


def test_the_data_are_let_go_of() -> None:
    x = X.copy()
    with pytest.warns(ConvergenceWarning):
        mlp = MLPClassifier(max_iter=12).fit(x, Y)
    gone = weakref.ref(x)
    del x
    gc.collect()
    assert gone() is None
    for call in range(20):  # the last ones are played
        x = X.copy()
        gone = weakref.ref(x)
        mlp.partial_fit(x, Y)
        del x
        if call in (0, 19):
            gc.collect()
            assert gone() is None


def test_patience() -> None:
    carry: dict[str, Any] = {"params": {"W": np.zeros(1)}, "state": {}}
    loss = Patience(scored=False)
    for value, waited in ((1.0, 0), (0.95, 1), (0.8, 0), (0.79, 1), (float("nan"), 0), (0.9, 1)):
        loss.look(value, 0.1, carry)
        assert loss.waited == waited
    assert loss.best == 0.79
    assert loss.weights is None
    score = Patience(scored=True)
    for value, waited in ((0.5, 0), (0.5, 0), (0.4, 1), (float("nan"), 0), (0.6, 0)):
        carry["params"]["W"] = np.array([value])
        score.look(value, 0.0, carry)
        assert score.waited == waited
    assert score.weights is not None
    assert score.weights["params"]["W"] == 0.6
