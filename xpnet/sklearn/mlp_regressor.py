"""A multi-layer perceptron that tells numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.metaestimators import available_if

from xpnet.functional._array import Array, array_namespace
from xpnet.sklearn._from_sklearn import StrOptions, fit_context
from xpnet.sklearn._mlp import BaseMLP, FitMode, has_partial_fit
from xpnet.sklearn._place import Place

__all__ = ["MLPRegressor"]


class MLPRegressor(RegressorMixin, BaseMLP):
    """A regressor of one or several numbers.

    With the parameters that `sklearn.neural_network.MLPRegressor` has, in their meanings, the same
    `random_state` gives the same first weights, orders and steps, and so the same network up to rounding.
    Of several numbers, the sum over their losses is made smaller, and the mean is what `loss_` and `tol` are of,
    as in scikit-learn; but "lbfgs" looks at the sum alone.

    Parameters
    ----------
    loss : str
        "squared_error", half of it, or "poisson", for what is not negative: half the Poisson deviance, of
        the exponential of the network's output.
    hidden_layer_sizes, activation, solver, alpha, batch_size, learning_rate, learning_rate_init, power_t, \
    max_iter, shuffle, random_state, tol, verbose, warm_start, momentum, nesterovs_momentum, beta_1, beta_2, \
    epsilon, n_iter_no_change, max_fun, dropout, batch_norm, device
        See `MLPClassifier`.
    early_stopping, validation_fraction : bool, float
        See `MLPClassifier`; R² is what is looked at.

    Attributes
    ----------
    network_, coefs_, intercepts_, loss_, best_loss_, loss_curve_, stopped_, n_iter_, t_, n_features_in_, \
    feature_names_in_, n_layers_, n_outputs_, out_activation_
        See `MLPClassifier`.
    validation_scores_, best_validation_score_
        R² on the rows held out, with `early_stopping`; else None.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions({"squared_error", "poisson"})],
    }

    def __init__(
        self,
        loss: str = "squared_error",
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
        device: str | None = None,
    ) -> None:
        self.loss = loss
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
        self.device = device

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train, from the first weights, or with `warm_start` from those of the fit before.

        Parameters
        ----------
        X : array, frame or sparse matrix
            `(N, D)`. Sparse rows are made dense a batch at a time.
        y : array
            Numbers, `(N,)` or `(N, M)`.
        sample_weight : array, optional
            How much each row counts, `(N,)`, not negative.

        Returns
        -------
        MLPRegressor
            Itself.

        Raises
        ------
        ValueError
            If the data or the parameters make no sense, or the weights do not stay finite.
        """
        return self._fit(X, y, sample_weight, incremental=False)

    @available_if(has_partial_fit)
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch, and go on with it at the next call.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.

        Returns
        -------
        MLPRegressor
            Itself.
        """
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> Array:
        """Give the numbers of each row, `(N,)`, or `(N, M)` if there are several.

        Parameters
        ----------
        X : array, frame or sparse matrix
            `(N, D)`.
        """
        _, y = self._scores(X, "predict")
        return y[:, 0] if self.n_outputs_ == 1 else y

    def _targets(self, y: Array, weight: Array | None, place: Place, mode: FitMode) -> tuple[Array, Array | None]:
        y = place.follow(y)
        y = y if y.ndim == 2 else y[:, None]
        xp, out = array_namespace(y), "exp" if self.loss == "poisson" else "identity"
        if out == "exp" and bool(xp.any(y < 0)):
            raise ValueError(f"loss='poisson' wants y of 0 or more; got {float(xp.min(y)):g}")
        if mode.first:
            self.n_outputs_, self.out_activation_ = y.shape[1], out
        if (y.shape[1], out) != (self.n_outputs_, self.out_activation_):
            raise ValueError(f"y of {self.n_outputs_} numbers a row wanted, and the loss as before; got "
                             f"{y.shape[1]}, and {self.loss!r}")
        return y, weight
