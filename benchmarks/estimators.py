#!/usr/bin/env python3
"""Time the fits of scikit-learn's own examples: its MLPs, and those of `xpnet.sklearn`.

Both begin with the same random state, and must come to the same predictions before anything is timed.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.processes import compare, options_of, threads_of
from benchmarks.report import Times, interleaved, quartiles, table, unit_of

THEIRS, OURS = "sklearn.neural_network", "xpnet.sklearn"
QUICK = "three rounds: a minute"
ROWS = np.random.default_rng(0)


def scaled(data: tuple[Any, Any]) -> tuple[Any, Any]:
    """Scale features to 0 … 1, as the examples do."""
    X, y = data
    return (X - X.min(0)) / np.maximum(X.max(0) - X.min(0), 1e-9), y


def cases() -> dict[str, tuple[Callable[[], tuple[Any, Any]], dict[str, Any]]]:
    """Give data and parameters: sizes and settings of the examples and tests of scikit-learn's MLP."""
    data = importlib.import_module("sklearn.datasets")

    def digits() -> tuple[Any, Any]:
        return scaled(data.load_digits(return_X_y=True))

    def images(rows: int, dtype: str) -> tuple[Any, Any]:
        return ROWS.random((rows, 784)).astype(dtype), ROWS.integers(0, 10, rows)

    curves = {"learning_rate_init": 0.01, "max_iter": 400, "tol": 0, "n_iter_no_change": 400}
    sgd = {"solver": "sgd", "learning_rate_init": 0.2, "max_iter": 400, "tol": 0, "n_iter_no_change": 400}
    return {
        "training curves: iris, Adam": (lambda: scaled(data.load_iris(return_X_y=True)), curves),
        "training curves: moons, SGD": (
            lambda: scaled(data.make_moons(noise=0.3, random_state=0)), sgd),
        "training curves: digits, 15 epochs": (digits, {**curves, "max_iter": 15}),
        "regularisation: moons, L-BFGS": (
            lambda: data.make_moons(noise=0.3, random_state=0),
            {"solver": "lbfgs", "hidden_layer_sizes": (10, 10), "max_iter": 2000, "alpha": 0.1}),
        "digits, 100 epochs": (digits, {"max_iter": 100, "tol": 0, "n_iter_no_change": 100}),
        "digits, float32, 100 epochs": (
            lambda: (digits()[0].astype(np.float32), digits()[1]),
            {"max_iter": 100, "tol": 0, "n_iter_no_change": 100}),
        "digits, early stopping": (digits, {"early_stopping": True}),
        "digits, 100 partial_fits of 200": (
            lambda: (digits()[0][:200], digits()[1][:200]), {"solver": "sgd", "learning_rate_init": 0.2}),
        "MNIST's weights: (21000, 784), SGD": (
            lambda: images(21000, "float64"),
            {"hidden_layer_sizes": (40,), "max_iter": 4, "solver": "sgd", "learning_rate_init": 0.2}),
        "(60000, 784), Adam": (lambda: images(60000, "float64"), {"max_iter": 2}),
        "(60000, 784), float32, Adam": (lambda: images(60000, "float32"), {"max_iter": 2}),
    }


def fitted(library: str, name: str, X: Any, y: Any, parameters: dict[str, Any]) -> Any:
    """Fit, as the case's name says."""
    mlp = importlib.import_module(library).MLPClassifier(random_state=1, **parameters)
    if "partial_fits" not in name:
        return mlp.fit(X, y)
    for _ in range(100):
        mlp.partial_fit(X, y, classes=np.unique(y))
    return mlp


def agree(name: str, X: Any, y: Any, parameters: dict[str, Any]) -> float:
    """Give how many rows both predict alike; a library that gets none of it right is no contender."""
    theirs, ours = (fitted(library, name, X, y, parameters) for library in (THEIRS, OURS))
    alike = float(np.mean(theirs.predict(X) == ours.predict(X)))
    if alike < 0.995 or abs(theirs.score(X, y) - ours.score(X, y)) > 0.005:
        raise SystemExit(f"{name}: only {alike:.4f} of the rows are predicted alike")
    return alike


def run(threads: int, quick: bool) -> dict[str, Any]:
    """Compare and time every case in this process."""
    warnings.simplefilter("ignore")
    found: dict[str, Any] = {"missing": [], "times": {}, "alike": {}}
    for name, (make, parameters) in cases().items():
        print(f"{threads_of(threads)}: {name}", file=sys.stderr)
        X, y = make()
        found["alike"][name] = agree(name, X, y, parameters)

        def task(library: str, name: str = name, X: Any = X, y: Any = y,
                 parameters: dict[str, Any] = parameters) -> Any:
            return lambda _: lambda: fitted(library, name, X, y, parameters)

        found["times"][name] = interleaved({library: task(library) for library in (THEIRS, OURS)},
                                           3 if quick else 15)
    return found


def tables_of(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Give a title and a table."""
    rows = []
    for name, times in found["times"].items():
        rows.append([name, *(unit_of(quartiles(times[library])[1]) for library in (THEIRS, OURS)),
                     *faster(times), f"{found['alike'][name]:.4f}"])
    yield "How many times as fast a fit is", table(
        ["", "scikit-learn", "xpnet", "times as fast", "quartiles", "predicted alike"], rows)


def faster(times: Times) -> tuple[str, str]:
    """Give the median of the rounds' ratios, and its quartiles."""
    low, median, high = quartiles([a / b for a, b in zip(times[THEIRS], times[OURS], strict=True)])
    return f"{median:.2f}", f"{low:.2f} to {high:.2f}"


def main() -> None:
    """Compare, measure, print."""
    options = options_of(str(__doc__), quick=QUICK).parse_args()
    if options.check:
        warnings.simplefilter("ignore")
        for name, (make, parameters) in cases().items():
            if "784" not in name:
                X, y = make()
                small = {**parameters, "max_iter": min(parameters.get("max_iter", 200), 20)}
                print(f"{name}: {agree(name, X, y, small):.4f} of the rows are predicted alike")
        return
    compare("estimators.py", options, run, tables_of)


if __name__ == "__main__":
    main()
