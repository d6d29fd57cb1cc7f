"""What both estimators share: parameters, validation, training, prediction."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from array_api_compat import is_array_api_obj
from sklearn.base import BaseEstimator, is_regressor
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from xpnet.backend import Backend, BackendError, backend_of, get_backend
from xpnet.functional._array import Array, array_namespace, check_concrete
from xpnet.losses import SoftmaxWithLoss
from xpnet.sklearn._converted import converted
from xpnet.sklearn._fitting import Resume, first_network, hidden_sizes, rebuilt, train
from xpnet.sklearn._from_sklearn import (
    Interval,
    Options,
    StrOptions,
    check_same_namespace,
    check_sample_weight,
    get_namespace,
)
from xpnet.sklearn._labels import is_text
from xpnet.sklearn._network import ACTIVATIONS, PenalisedNetwork
from xpnet.sklearn._patience import Patience
from xpnet.sklearn._place import Place, library_of, moved
from xpnet.sklearn._rows import rows_of
from xpnet.sklearn._scores import scores_of
from xpnet.sklearn._warnings import warn

__all__ = ["BaseMLP", "FitMode", "has_partial_fit"]


class FitMode(NamedTuple):
    """How a fit goes on from what was before."""

    first: bool
    """From the first weights."""
    incremental: bool
    """For one epoch, as partial_fit."""
    classes: Any
    """All classes, as partial_fit was told."""


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
    loss_curve_: list[float]
    validation_scores_: list[float] | None
    _resume: Resume
    _moved_to: str | None
    """The `device` of the fit, if that was elsewhere than X."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.array_api_support = True
        return tags

    @abstractmethod
    def _targets(self, y: Array, weight: Array | None, place: Place, mode: FitMode) -> tuple[Array, Array | None]:
        """Give labels as the network wants them, and weights of the rows, in the library of X.

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
        return np.empty(0) if self._moved_to else self.coefs_[0]

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "network_")

    def _fit(self, X: Any, y: Any, sample_weight: Any, *, incremental: bool, classes: Any = None) -> Self:
        before = dict(vars(self))
        lengths = {name: len(a) for name, a in before.items() if isinstance(a, list) and name.endswith("_")}
        try:
            return self._fitted(X, y, sample_weight, incremental, classes)
        except BaseException:  # what is refused changes nothing
            self.__dict__ = before
            for name, length in lengths.items():
                del before[name][length:]
            raise

    def _fitted(self, X: Any, y: Any, sample_weight: Any, incremental: bool, classes: Any) -> Self:
        sizes = hidden_sizes(self)
        first = not hasattr(self, "network_") or not (self.warm_start or incremental)
        X, y = self._validated(as_known(X), as_known(y), first)
        place = Place(X, self.device)
        if not first:
            self._check_library(place.library, "the data to go on with")
            if place.backend != (there := backend_of(self.coefs_[0])):
                raise ValueError(f"{type(self).__name__} was fitted on {there}; device={self.device!r} is "
                                 "another place to go on: leave it as it was, or fit anew")
        weight = None
        if sample_weight is not None:
            if not is_array_api_obj(sample_weight) and not isinstance(sample_weight, Real):
                sample_weight = np.asarray(sample_weight)
            weight = check_sample_weight(as_known(sample_weight), X, ensure_non_negative=True)
        t, weight = self._targets(y, weight, place, FitMode(first, incremental, classes))
        x = X if hasattr(X, "tocsr") else place.bring(X)
        random_state = check_random_state(self.random_state)
        if first:
            network = first_network(self, [X.shape[1], *sizes, self.n_outputs_], place, x.dtype, random_state)
            resume = Resume(Patience(scored=False))
            self.n_iter_, self.t_, self.loss_curve_, self.validation_scores_ = 0, 0, [], None
        else:
            network, resume = rebuilt(self, sizes), self._resume.again()
        dtype = next(iter(network.params.values())).dtype
        data = rows_of(
            place.backend, x,
            place.bring(t, None if isinstance(network.last_layer, SoftmaxWithLoss) else dtype),
            None if weight is None else place.bring(weight, dtype))
        train(self, network, resume, place.backend, data, random_state, incremental)
        self._moved_to = self.device if place.moves else None
        return self

    def _validated(self, X: Any, y: Any, first: bool) -> tuple[Array, Array]:
        check_concrete(type(self).__name__, X, y, remedy=None)
        xp, _ = get_namespace(X)
        X, y = validate_data(self, X, y, accept_sparse="csr", multi_output=True, reset=first,
                             y_numeric=is_regressor(self), dtype=(xp.float64, xp.float32))
        if y.ndim == 2 and y.shape[1] == 1 and not hasattr(y, "tocsr"):
            warn("A column-vector y was passed when a 1d array was expected. Please change the shape of y to "
                 "(n_samples,).", DataConversionWarning)
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
        check_concrete(type(self).__name__, X, remedy=None)
        xp, _ = get_namespace(X)
        X = validate_data(self, X, accept_sparse="csr", reset=False, dtype=(xp.float64, xp.float32))
        self._check_library(library_of(X), "X")
        backend = backend_of(self.coefs_[0])
        network = self.network_.with_kernels(backend.kernels)
        x = moved(X, backend) if self._moved_to and not hasattr(X, "tocsr") else X
        scores = scores_of(network, rows_of(backend, x, x, None))

        def given(a: Array) -> Array:
            a = backend.to_numpy(a) if self._moved_to else a
            return array_namespace(a).astype(a, X.dtype, copy=False)

        return given(scores), given(network.last_layer.predictions(scores))

    def __sklearn_array_api_convert__(self, converter: Any) -> Self:
        """Give a copy with its arrays in another library: what scikit-learn's `move_estimator_to` calls."""
        other = copy.copy(self)
        if hasattr(self, "network_"):
            other.__dict__.update(converted(converter, self.network_, self._resume))
            other._moved_to = other.device = None
        if hasattr(self, "classes_") and not is_text(self.classes_):
            other.classes_ = converter(self.classes_)
        return other

    def __getstate__(self) -> dict[str, Any]:
        """Give what a pickle holds: NumPy's arrays, if `device` had them moved from there."""
        state = super().__getstate__()
        if getattr(self, "_moved_to", None) is None:
            return state
        return {**state, **converted(backend_of(self.coefs_[0]).to_numpy, self.network_, self._resume)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if (there := getattr(self, "_moved_to", None)) is None:
            return
        try:
            self.__dict__.update(converted(get_backend(there).asarray, self.network_, self._resume))
        except BackendError as error:  # the process that fitted it may be another machine's
            warn(f"{type(self).__name__} was fitted with device={there!r}, and predicts on the host here: {error}")


def as_known(a: Any) -> Any:
    """Give as a NumPy array of this machine's byte order what dispatching knows nothing else about."""
    if isinstance(a, np.ndarray):
        return a if a.dtype.isnative else a.astype(a.dtype.newbyteorder("="))
    known = is_array_api_obj(a) or hasattr(a, "to_numpy") or not hasattr(a, "__array__")  # or a frame
    return a if known else np.asarray(a)


def has_partial_fit(estimator: BaseMLP) -> bool:
    """Tell whether the solver takes a step for each batch (else an AttributeError)."""
    if estimator.solver == "lbfgs":
        raise AttributeError("partial_fit is only available for stochastic optimizers. lbfgs is not "
                             "stochastic.")
    return True
