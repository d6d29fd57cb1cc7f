"""In the place of scikit-learn's estimators: the same networks, and its own tests of them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shell import environment

pytest.importorskip("sklearn")

from sklearn import datasets, neural_network
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split

import xpnet.sklearn

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

DIGITS = datasets.load_digits(return_X_y=True)
X, Y = DIGITS[0][:700] / 16, DIGITS[1][:700]
TWO = X[Y < 2], Y[Y < 2]
LABELS = datasets.make_multilabel_classification(200, random_state=0)
NUMBERS = datasets.make_regression(210, 10, n_targets=3, random_state=0)
NUMBERS = NUMBERS[0], NUMBERS[1] / NUMBERS[1].std()
ONE = NUMBERS[0], NUMBERS[1][:, 0]
WEIGHTS = np.random.default_rng(0).integers(0, 3, 700).astype(float)

CASES: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "adam": ("MLPClassifier", (X, Y), {}),
    "a batch for all rows": ("MLPClassifier", (X, Y), {"batch_size": 700}),
    "rows that do not fill batches": ("MLPClassifier", (X, Y), {"batch_size": 64, "max_iter": 5}),
    "in order": ("MLPClassifier", (X, Y), {"shuffle": False}),
    "two layers of tanh": ("MLPClassifier", (X, Y), {"activation": "tanh", "hidden_layer_sizes": (30, 20)}),
    "logistic": ("MLPClassifier", (X, Y), {"activation": "logistic"}),
    "identity": ("MLPClassifier", (X, Y), {"activation": "identity", "alpha": 0.1}),
    "two classes": ("MLPClassifier", TWO, {"beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-5}),
    "labels": ("MLPClassifier", LABELS, {}),
    "weights": ("MLPClassifier", (X, Y, WEIGHTS), {"alpha": 0.1}),
    "early stopping": ("MLPClassifier", (X, Y), {"early_stopping": True, "max_iter": 60}),
    "early stopping of two classes": ("MLPClassifier", TWO, {"early_stopping": True, "max_iter": 60}),
    "early stopping of labels": ("MLPClassifier", LABELS, {"early_stopping": True, "max_iter": 60}),
    "early stopping with weights": ("MLPClassifier", (X, Y, WEIGHTS),
                                    {"early_stopping": True, "max_iter": 60}),
    "until there is no progress": ("MLPClassifier", TWO, {"tol": 1e-2, "max_iter": 300}),
    "nesterov": ("MLPClassifier", (X, Y), {"solver": "sgd", "learning_rate_init": 0.1}),
    "momentum": ("MLPClassifier", (X, Y), {"solver": "sgd", "nesterovs_momentum": False}),
    "sgd": ("MLPClassifier", (X, Y), {"solver": "sgd", "momentum": 0, "learning_rate_init": 0.1}),
    "invscaling": ("MLPClassifier", (X, Y), {"solver": "sgd", "learning_rate": "invscaling",
                                             "learning_rate_init": 0.1, "power_t": 0.3}),
    "adaptive": ("MLPClassifier", (X, Y), {"solver": "sgd", "learning_rate": "adaptive", "tol": 1e-2,
                                           "learning_rate_init": 0.2, "n_iter_no_change": 2,
                                           "max_iter": 200}),
    "adaptive without momentum": ("MLPClassifier", TWO, {
        "solver": "sgd", "learning_rate": "adaptive", "tol": 1e-2, "momentum": 0,
        "learning_rate_init": 0.2, "n_iter_no_change": 2, "max_iter": 200}),
    "numbers": ("MLPRegressor", ONE, {}),
    "three numbers": ("MLPRegressor", NUMBERS, {}),
    "early stopping of numbers": ("MLPRegressor", ONE, {"early_stopping": True, "max_iter": 60}),
    "early stopping of three numbers": ("MLPRegressor", NUMBERS, {"early_stopping": True, "max_iter": 60}),
    "three numbers, until there is no progress": ("MLPRegressor", NUMBERS, {
        "tol": 1e-3, "max_iter": 400, "hidden_layer_sizes": 20, "learning_rate_init": 0.01}),
    "counts": ("MLPRegressor", (ONE[0], np.round(np.exp(ONE[1]))), {"loss": "poisson"}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_same_network_from_the_same_random_state(case: str) -> None:
    name, data, parameters = CASES[case]
    parameters = {"max_iter": 20, "random_state": 1, **parameters}
    theirs, ours = (getattr(module, name)(**parameters).fit(*data)
                    for module in (neural_network, xpnet.sklearn))
    assert ours.n_iter_ == theirs.n_iter_
    assert ours.t_ == theirs.t_
    assert ours.n_layers_ == theirs.n_layers_
    assert ours.n_outputs_ == theirs.n_outputs_
    assert ours.out_activation_ == theirs.out_activation_
    for attribute in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(ours, attribute), getattr(theirs, attribute), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)
    if parameters.get("early_stopping"):
        np.testing.assert_allclose(ours.validation_scores_, theirs.validation_scores_, rtol=1e-9)
        assert ours.best_loss_ is theirs.best_loss_ is None
    else:
        assert ours.validation_scores_ is theirs.validation_scores_ is None
    np.testing.assert_allclose(ours.predict(data[0]), theirs.predict(data[0]), rtol=1e-9, atol=1e-12)
    if name == "MLPClassifier":
        for method in ("predict_proba", "predict_log_proba"):
            np.testing.assert_allclose(getattr(ours, method)(data[0]), getattr(theirs, method)(data[0]),
                                       rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(("name", "data"), [
    ("MLPClassifier", (X, Y)), ("MLPClassifier", TWO), ("MLPRegressor", ONE), ("MLPRegressor", (ONE[0], ONE[1]**2))])
def test_lbfgs_comes_to_the_same_minimum(name: str, data: Any) -> None:
    theirs, ours = (getattr(module, name)(
        random_state=1, solver="lbfgs", max_iter=3000, tol=1e-8, alpha=1.0, hidden_layer_sizes=10,
        activation="tanh", max_fun=30000).fit(*data) for module in (neural_network, xpnet.sklearn))
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-5)


def test_warm_starts_and_partial_fits_are_the_same() -> None:
    made = [module.MLPClassifier(max_iter=3, random_state=1, warm_start=True, solver="sgd")
            for module in (neural_network, xpnet.sklearn)]
    for _ in range(3):
        theirs, ours = (each.fit(X, Y) for each in made)
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], rtol=1e-9, atol=1e-12)
    assert len(ours.loss_curve_) == len(theirs.loss_curve_) == 9
    made = [module.MLPClassifier(random_state=1) for module in (neural_network, xpnet.sklearn)]
    for part in range(12):  # the last ones are played, not computed by the layers
        rows = slice(50 * part, 50 * part + 50)
        theirs, ours = (each.partial_fit(X[rows], Y[rows], classes=range(10)) for each in made)
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], rtol=1e-9, atol=1e-12)
    assert ours.t_ == theirs.t_ == 600


def test_digits_are_told_apart_as_well() -> None:
    x, x_test, y, y_test = train_test_split(DIGITS[0] / 16, DIGITS[1], random_state=0)
    scores = [accuracy_score(y_test, module.MLPClassifier(random_state=seed, max_iter=50).fit(
        x.astype(np.float32), y).predict(x_test.astype(np.float32)))
        for seed in range(3) for module in (neural_network, xpnet.sklearn)]
    for theirs, ours in zip(scores[::2], scores[1::2], strict=True):
        assert abs(ours - theirs) <= 0.005
        assert ours > 0.95


PRIVATE = {
    "test_fit": "sets coefs_ and more of the insides by hand",
    "test_gradient": "calls _loss_grad_lbfgs",
    "test_learning_rate_warmstart": "reads _optimizer",
    "test_adaptive_learning_rate": "reads _optimizer",
    "test_n_iter_no_change": "reads _no_improvement_count",
    "test_n_iter_no_change_inf": "reads _no_improvement_count",
    "test_mlp_partial_fit_after_fit": "wants partial_fit to refuse early stopping, which this one has",
}
"""Tests of scikit-learn that look into its own estimators."""


def test_the_tests_of_scikit_learn(tmp_path: Path) -> None:
    from sklearn.neural_network.tests import test_mlp

    text, replaced = re.subn(r"^from sklearn.neural_network import (MLPClassifier, MLPRegressor)$",
                             r"from xpnet.sklearn import \1", Path(test_mlp.__file__).read_text(),
                             flags=re.MULTILINE)
    assert replaced == 1
    for name in PRIVATE:
        assert f"\ndef {name}(" in text, f"there is no {name} any more"
    (tmp_path / "test_mlp.py").write_text(text)
    (tmp_path / "conftest.py").write_text(
        "import pytest\n\n\n@pytest.fixture\ndef global_random_seed():\n    return 42\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist",
         *(f"--deselect=test_mlp.py::{name}" for name in PRIVATE), "test_mlp.py"],
        cwd=tmp_path, env=environment() | {"PYTEST_ADDOPTS": ""}, capture_output=True, text=True,
        timeout=300, check=False)
    passed = re.search(r"(\d+) passed, (\d+) deselected", done.stdout)
    assert done.returncode == 0, done.stdout
    assert passed is not None, done.stdout
    assert int(passed[1]) >= 50
