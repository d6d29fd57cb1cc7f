"""A multi-layer perceptron that tells classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if

from xpnet.backend import backend_of
from xpnet.functional._array import Array, array_namespace
from xpnet.sklearn._from_sklearn import StrOptions, fit_context
from xpnet.sklearn._labels import (
    check_classes,
    class_codes,
    class_weighted,
    classes_and_kind,
    is_text,
    told_classes,
)
from xpnet.sklearn._mlp import BaseMLP, FitMode, has_partial_fit
from xpnet.sklearn._place import Place

__all__ = ["MLPClassifier"]


class MLPClassifier(ClassifierMixin, BaseMLP):
    """A classifier, of two classes or more, or of labels any of which may be true.

    With the parameters that `sklearn.neural_network.MLPClassifier` has, in their meanings, the same
    `random_state` gives the same first weights, orders and steps, and so the same network up to rounding.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int
        Neurons of the hidden layers.
    activation : str
        Of the hidden layers: "identity", "logistic", "tanh", "relu"; also "leaky_relu", "gelu", "silu".
    solver : str
        "adam", "sgd" or "lbfgs".
    alpha : float
        Strength of the penalty on the weights: `alpha / 2 / rows * Σ W²` is added to the loss of a batch.
    batch_size : int or "auto"
        Rows of a step; "auto" is 200, or all if there are fewer. Not for "lbfgs".
    learning_rate : str
        For "sgd": "constant"; "invscaling", divided by `t_ ** power_t`; "adaptive", divided by 5 where
        there is no progress.
    learning_rate_init : float
        The first learning rate.
    power_t : float
        See `learning_rate`.
    max_iter : int
        The most epochs.
    shuffle : bool
        Whether to shuffle the rows before each epoch.
    random_state : int, RandomState or None
        Of the first weights, the order of the rows, those held out, and dropout.
    tol : float
        By how much the loss, or the score, has to get better to count as progress.
    verbose : bool
        Whether to print the loss of each epoch.
    warm_start : bool
        Whether `fit` goes on from the weights of the one before.
    momentum, nesterovs_momentum : float, bool
        For "sgd".
    early_stopping : bool
        Whether to hold out rows, to stop when their accuracy has not risen by `tol` for
        `n_iter_no_change` epochs, and to go back to the best weights. In `partial_fit`, rows of each call
        are held out, the same of data of the same length; after as many calls without progress,
        `stopped_` is True, and the weights are the best ones.
    validation_fraction : float
        The share of rows to hold out; two at least.
    beta_1, beta_2, epsilon : float
        For "adam".
    n_iter_no_change : int
        See `early_stopping`; without it, of the training loss.
    max_fun : int
        The most evaluations of the loss, for "lbfgs".
    dropout : float
        The share of each hidden layer's outputs to drop in training (not for "lbfgs").
    batch_norm : bool
        Whether to normalise by the batch before each activation (not for "lbfgs").
    class_weight : dict, "balanced", list of dict, or None
        How much the rows of each class count; see `sklearn.utils.class_weight.compute_sample_weight`.
    device : str, optional
        Where to compute with NumPy arrays, as `xpnet.get_backend` takes it: "cuda", "torch:cuda", "jax".
        What comes out is NumPy's again. By default data stays where it is.

    Attributes
    ----------
    classes_ : array
        The classes, ascending; of several labels, their numbers.
    network_ : Network
        The network that was trained.
    coefs_, intercepts_ : list of array
        Its weights `(inputs, outputs)` and biases `(outputs,)`, in the library and on the device of X.
    loss_, best_loss_, loss_curve_
        The training loss: the last, the least, and that of each epoch.
    validation_scores_, best_validation_score_
        The accuracy on the rows held out, with `early_stopping`; else None.
    stopped_ : bool
        Whether training came to its end before `max_iter`.
    n_iter_, t_ : int
        Epochs of the last fit, and rows seen since the first.
    n_features_in_, feature_names_in_, n_layers_, n_outputs_, out_activation_
        As in scikit-learn.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseMLP._parameter_constraints,
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
    }
    _kind: str

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dropout: float = 0.0,
        batch_norm: bool = False,
        class_weight: Mapping[Any, float] | Sequence[Mapping[Any, float]] | str | None = None,
        device: str | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.class_weight = class_weight
        self.device = device

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train, from the first weights, or with `warm_start` from those of the fit before.

        Parameters
        ----------
        X : array, frame or sparse matrix
            `(N, D)`. Sparse rows are made dense a batch at a time.
        y : array
            Classes `(N,)`, numbers or strings; or 0 and 1 for each of several labels, `(N, C)`.
        sample_weight : array, optional
            How much each row counts, `(N,)`, not negative.

        Returns
        -------
        MLPClassifier
            Itself.

        Raises
        ------
        ValueError
            If the data or the parameters make no sense, or the weights do not stay finite.
        """
        return self._fit(X, y, sample_weight, incremental=False)

    @available_if(has_partial_fit)
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Train for one epoch, and go on with it at the next call.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.
        classes : array, optional
            All classes, wanted at the first call, of which `y` may lack some.

        Returns
        -------
        MLPClassifier
            Itself.
        """
        if self.class_weight == "balanced":
            raise ValueError("class_weight 'balanced' wants all rows at once: for partial_fit, give the "
                             "weights of compute_class_weight('balanced', classes=classes, y=y) in a dict")
        if not hasattr(self, "network_") and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        return self._fit(X, y, sample_weight, incremental=True, classes=classes)

    def predict(self, X: Any) -> Array:
        """Give the most probable class of each row, `(N,)`; of several labels, 0 or 1 for each, `(N, C)`.

        Parameters
        ----------
        X : array, frame or sparse matrix
            `(N, D)`.
        """
        scores, _ = self._scores(X, "predict")
        xp = array_namespace(scores)
        if self._kind == "multilabel":
            return xp.astype(scores > 0, xp.int64)
        if self._kind == "binary":
            numbers = xp.astype(scores[:, 0] > 0, xp.int64) * (self.classes_.shape[0] - 1)
        else:
            numbers = xp.argmax(scores, axis=1)
        if is_text(self.classes_):
            return self.classes_[backend_of(numbers).to_numpy(numbers)]
        return xp.take(self.classes_, numbers, axis=0)

    def predict_proba(self, X: Any) -> Array:
        """Give the probability of each class, or of each label, `(N, C)`.

        Parameters
        ----------
        X : array, frame or sparse matrix
            `(N, D)`.
        """
        return self._probabilities(X, "predict_proba")

    def predict_log_proba(self, X: Any) -> Array:
        """Give the logarithms of `predict_proba`.

        Parameters
        ----------
        X : array, frame or sparse matrix
            `(N, D)`.
        """
        p = self._probabilities(X, "predict_log_proba")
        with np.errstate(divide="ignore"):
            return array_namespace(p).log(p)

    def _probabilities(self, X: Any, method: str) -> Array:
        _, p = self._scores(X, method)
        if self._kind != "binary":
            return p
        xp = array_namespace(p)
        return xp.concat([1 - p, p], axis=1) if self.classes_.shape[0] == 2 else xp.ones_like(p)

    def _targets(self, y: Array, weight: Array | None, place: Place, mode: FitMode) -> tuple[Array, Array | None]:
        y = y.toarray() if hasattr(y, "tocsr") else y
        y = y if is_text(y) else place.follow(y)
        found, kind = classes_and_kind(y)
        several = kind == "multilabel"
        if mode.first:
            self.classes_ = found if several or not mode.incremental else told_classes(mode.classes, found, place)
            count = self.classes_.shape[0]
            self._kind = kind if several else "binary" if count <= 2 else "multiclass"
            self.n_outputs_ = 1 if self._kind == "binary" else count
            self.out_activation_ = "softmax" if self._kind == "multiclass" else "logistic"
        elif several != (self._kind == "multilabel"):
            raise ValueError(f"y of the kind of the first fit wanted, {self._kind}; got {kind}")
        else:
            check_classes(found, self.classes_, None if several else mode.classes,
                          all_of_them=several or not mode.incremental)
        codes = None if several else class_codes(y, self.classes_)
        if self.class_weight is not None:
            weight = class_weighted(self.class_weight, y, codes, self.classes_, weight, place)
        if codes is None:
            return y != 0, weight
        codes = place.follow(codes)
        return codes if self._kind == "multiclass" else codes[:, None], weight
