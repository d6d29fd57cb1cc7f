"""What both estimators share: parameters, validation, training, prediction."""

from __future__ import annotations

import copy
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from array_api_compat import is_array_api_obj
from sklearn.base import BaseEstimator, is_regressor
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from xpnet.backend import Backend, backend_of
from xpnet.functional._array import Array, array_namespace
from xpnet.losses import SoftmaxWithLoss
from xpnet.sklearn._fitting import Resume, begin, hidden_sizes, rebuilt, train
from xpnet.sklearn._from_sklearn import (
    Interval,
    Options,
    StrOptions,
    check_same_namespace,
    check_sample_weight,
    get_namespace,
)
from xpnet.sklearn._labels import is_text
from xpnet.sklearn._network import ACTIVATIONS, PenalisedNetwork, build
from xpnet.sklearn._place import Place, library_of
from xpnet.sklearn._rows import rows_of

__all__ = ["BaseMLP", "has_partial_fit"]

ROWS = 1000
"""Rows computed at a time, so that what is computed stays in the processor's cache."""


class BaseMLP(BaseEstimator, ABC):
    """A multi-layer perceptron as an estimator."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({*ACTIVATIONS})],
        "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "batch_norm": ["boolean"],
        "device": [str, None],
    }
    solver: str
    network_: PenalisedNetwork
    _resume: Resume
    _moved: bool

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.array_api_support = True
        return tags

    @abstractmethod
    def _targets(self, y: Array, place: Place, first: bool, incremental: bool) -> tuple[Array, Array | None]:
        """Give labels as the network wants them, and weights of the rows by class, in the library of X.

        At first, set `n_outputs_` and `out_activation_`.
        """

    @property
    def coefs_(self) -> list[Array]:
        """The weights of each layer, `(inputs, outputs)`: the network's own arrays."""
        return [p for name, p in self.network_.params.items() if name.startswith("W")]

    @property
    def intercepts_(self) -> list[Array]:
        """The biases of each layer, `(outputs,)`: the network's own arrays."""
        return [p for name, p in self.network_.params.items() if name.startswith("b") and name[1:].isdigit()]

    @property
    def _like_X(self) -> Array:  # noqa: N802
        """An array of the library and device that X had at the fit."""
        return np.empty(0) if self._moved else self.coefs_[0]

    def _fit(self, X: Any, y: Any, sample_weight: Any, *, incremental: bool) -> Self:
        sizes = hidden_sizes(self)
        first = not hasattr(self, "network_") or not (self.warm_start or incremental)
        X, y = self._validated(as_known(X), as_known(y), first)
        place = Place(X, self.device)
        if not first:
            self._check_library(place.library, "the data to go on with")
        t, weight = self._targets(y, place, first, incremental)
        if sample_weight is not None:
            given = check_sample_weight(as_known(sample_weight), X, ensure_non_negative=True)
            weight = given if weight is None else array_namespace(given).astype(weight, given.dtype) * given
        x = X if hasattr(X, "tocsr") else place.bring(X)
        random_state = check_random_state(self.random_state)
        if first:
            begin(self, [X.shape[1], *sizes, self.n_outputs_], place, x.dtype, random_state, incremental)
            self._moved = place.moves
        dtype = self.coefs_[0].dtype
        classes = isinstance(self.network_.last_layer, SoftmaxWithLoss)
        data = rows_of(place.backend, x, place.bring(t, None if classes else dtype),
                       None if weight is None else place.bring(weight, dtype))
        train(self, rebuilt(self, sizes), place.backend, data, random_state, incremental)
        return self

    def _validated(self, X: Any, y: Any, first: bool) -> tuple[Array, Array]:
        xp, _ = get_namespace(X)
        X, y = validate_data(self, X, y, accept_sparse="csr", multi_output=True, reset=first,
                             y_numeric=is_regressor(self), dtype=(xp.float64, xp.float32))
        if y.ndim == 2 and y.shape[1] == 1 and not hasattr(y, "tocsr"):
            warnings.warn("A column-vector y was passed when a 1d array was expected. Please change the "
                          "shape of y to (n_samples,).", DataConversionWarning, stacklevel=5)
            y = y[:, 0]
        return X, y

    def _check_library(self, library: Backend, what: str) -> None:
        """Refuse arrays of another library or device than those of the fit (ValueError)."""
        fitted = backend_of(self._like_X)
        if library != fitted:
            raise ValueError(f"{type(self).__name__} was fitted on {fitted} and wants {what} there; got it "
                             f"on {library} (without array_api_dispatch=True, all arrays become NumPy's)")

    def _scores(self, X: Any, method: str) -> tuple[Array, Array]:
        """Give the network's scores and predictions, `(N, C)`, in the library of X."""
        check_is_fitted(self)
        X = as_known(X)
        check_same_namespace(X, self, attribute="_like_X", method=method)
        xp, _ = get_namespace(X)
        X = validate_data(self, X, accept_sparse="csr", reset=False, dtype=(xp.float64, xp.float32))
        self._check_library(library_of(X), "X")
        backend = backend_of(self.coefs_[0])
        network = self.network_.with_kernels(backend.kernels)
        data = rows_of(backend, X if hasattr(X, "tocsr") or not self._moved else backend.asarray(X), X, None)
        parts = [network.predict(data.part("x", lo, min(lo + ROWS, data.rows)))
                 for lo in range(0, data.rows, ROWS)]
        scores = parts[0] if len(parts) == 1 else array_namespace(parts[0]).concat(parts)
        found = scores, network.last_layer.predictions(scores)
        return tuple(map(backend.to_numpy, found)) if self._moved else found  # type: ignore[return-value]

    def __sklearn_array_api_convert__(self, converter: Any) -> Self:
        """Give a copy with its arrays in another library: what scikit-learn's `move_estimator_to` calls."""
        moved = copy.copy(self)
        if hasattr(self, "network_"):
            network, resume = self.network_, copy.copy(self._resume)
            params, state, resume.optimizer, resume.counter, best = (mapped(converter, arrays) for arrays in (
                dict(network.params), dict(network.state), resume.optimizer, resume.counter,
                resume.patience.weights))
            resume.patience = copy.copy(resume.patience)
            resume.patience.weights = best
            moved.network_ = build(params, state, **network.arguments)
            moved._resume, moved._moved = resume, False
        if hasattr(self, "classes_") and not is_text(self.classes_):
            moved.classes_ = converter(self.classes_)
        return moved


def as_known(a: Any) -> Any:
    """Give what only says how to become a NumPy array as one: dispatching knows no more about it."""
    known = is_array_api_obj(a) or hasattr(a, "to_numpy") or not hasattr(a, "__array__")  # or a frame
    return a if known else np.asarray(a)


def mapped(f: Callable[[Array], Array], tree: Any) -> Any:
    """Give nested dictionaries with other arrays."""
    if isinstance(tree, dict):
        return {name: mapped(f, a) for name, a in tree.items()}
    return None if tree is None else f(tree)


def has_partial_fit(estimator: BaseMLP) -> bool:
    """Tell whether the solver takes a step for each batch (else an AttributeError)."""
    if estimator.solver == "lbfgs":
        raise AttributeError("partial_fit is only available for stochastic optimizers. lbfgs is not "
                             "stochastic.")
    return True
