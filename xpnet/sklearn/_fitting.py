"""What a fit does once its data are validated: the first weights, the solver, the attributes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from xpnet.backend import Backend
from xpnet.functional._array import Array
from xpnet.losses import SigmoidWithLoss
from xpnet.sklearn._lbfgs import fit_lbfgs
from xpnet.sklearn._network import PenalisedNetwork, build, first_parameters
from xpnet.sklearn._patience import Patience
from xpnet.sklearn._place import Place
from xpnet.sklearn._rows import Rows
from xpnet.sklearn._steps import Steps
from xpnet.sklearn._stochastic import StochasticFit, optimizer_of
from xpnet.training.batches import first_counter
from xpnet.training.checks import finite
from xpnet.training.nested import copied

__all__ = ["Resume", "begin", "hidden_sizes", "rebuilt", "train"]


SETTINGS = ("activation", "solver", "alpha", "learning_rate", "learning_rate_init", "momentum",
            "nesterovs_momentum", "beta_1", "beta_2", "epsilon", "dropout", "batch_norm")
"""The parameters that a compiled step depends on."""


@dataclass
class Resume:
    """What partial_fit, or a warm start, goes on with, beside the weights."""

    seed: int
    """Of dropout's masks, and of the rows that partial_fit holds out."""
    patience: Patience
    optimizer: dict[str, Any] | None = None
    counter: Array = None
    rate: float = 0.0
    steps: Steps | None = None
    settings: dict[str, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out compiled steps, which no file can hold."""
        return {**vars(self), "steps": None, "settings": None}


def hidden_sizes(estimator: Any) -> list[int]:
    """Give the numbers of neurons of the hidden layers, if they are above 0 (else a ValueError)."""
    sizes = estimator.hidden_layer_sizes
    sizes = [int(n) for n in sizes] if hasattr(sizes, "__iter__") else [int(sizes)]
    if any(n <= 0 for n in sizes):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return sizes


def begin(
    estimator: Any, sizes: list[int], place: Place, dtype: Any, random_state: np.random.RandomState,
    incremental: bool,
) -> None:
    """Draw the first weights, and set the attributes to what they are before the first epoch."""
    e = estimator
    drawn = first_parameters(sizes, e.activation, e.batch_norm, random_state)
    params = {name: place.backend.asarray(a, dtype) for name, a in drawn.items()}
    # Only where it is wanted: else, the numbers that follow are scikit-learn's.
    wanted = e.dropout or (incremental and e.early_stopping)
    seed = int(random_state.randint(np.iinfo(np.int32).max)) if wanted else 0
    e._resume = Resume(seed, Patience(e.tol, e.early_stopping))
    e.network_ = build(params, {}, activation=e.activation, dropout=e.dropout, seed=seed,
                       out_activation=e.out_activation_, alpha=e.alpha)
    e.n_layers_, e.n_iter_, e.t_ = len(sizes), 0, 0
    e.loss_curve_, e.stopped_ = [], False
    e.validation_scores_ = [] if e.early_stopping else None


def rebuilt(estimator: Any, sizes: list[int]) -> PenalisedNetwork:
    """Give the network with the weights that there are and the parameters of now."""
    e, network = estimator, estimator.network_
    params = dict(network.params)
    found = [params[f"b{k}"].shape[0] for k in range(1, e.n_layers_ - 1)]
    if found != sizes or (e.batch_norm != ("gamma1" in params) and sizes):
        raise ValueError(f"{type(e).__name__} goes on with hidden layers of {found} neurons, batch_norm="
                         f"{'gamma1' in params}; got {sizes}, batch_norm={e.batch_norm}")
    return build(params, dict(network.state), activation=e.activation, dropout=e.dropout,
                 seed=e._resume.seed, out_activation=e.out_activation_, alpha=e.alpha)


def train(
    estimator: Any, network: PenalisedNetwork, backend: Backend, data: Rows,
    random_state: np.random.RandomState, incremental: bool,
) -> None:
    """Let the solver train, and the estimator's network hold what it learnt."""
    e = estimator
    if e.solver == "lbfgs":
        found = fit_lbfgs(e, network, backend, data)
    else:
        found = _stochastic(e, network, backend, data, random_state, incremental)
    network.params.update(found["params"])
    network.state.update(found["state"])
    e.network_ = network
    scored, best = e._resume.patience.scored, e._resume.patience.best
    e.best_loss_, e.best_validation_score_ = (None, best) if scored else (best, None)
    if not finite([*found["params"].values()]):
        raise ValueError("Solver produced non-finite parameter weights. The input data may contain large "
                         "values and need to be preprocessed.")


def _stochastic(
    e: Any, network: PenalisedNetwork, backend: Backend, data: Rows, random_state: np.random.RandomState,
    incremental: bool,
) -> dict[str, Any]:
    """Give the "params" and "state" after an epoch, or after all of them."""
    resume, held = e._resume, None
    if e.early_stopping:
        # Rows of the same data, given again and again, stay held out.
        data, held = _held_out(e, network, backend, data, resume.seed if incremental else random_state)
    settings = {name: getattr(e, name) for name in SETTINGS}
    optimizer = optimizer_of(e)
    if not incremental or resume.settings != settings:
        resume.steps, resume.settings = Steps(network, optimizer, backend), settings
    first = optimizer.init(network.params)
    if not incremental or resume.optimizer is None or resume.optimizer.keys() != first.keys():
        resume.optimizer, resume.rate = first, e.learning_rate_init
        resume.counter = backend.asarray(first_counter(resume.seed))
    fit = StochasticFit(e, network, backend, resume.steps, resume.rate, copied({
        "params": dict(network.params), "state": dict(network.state), "optimizer": resume.optimizer,
        "counter": resume.counter}))
    e.stopped_ = fit.run(data, held, random_state, resume.patience, incremental)
    carry = copied(fit.carry)
    resume.optimizer, resume.counter, resume.rate = carry["optimizer"], carry["counter"], fit.rate
    if not incremental:
        resume.steps = resume.settings = None  # which hold the data
    best = resume.patience.weights
    if e.stopped_ and incremental:
        resume.patience.waited = 0
    return best if best is not None and (e.stopped_ or not incremental) else carry


def _held_out(
    e: Any, network: PenalisedNetwork, backend: Backend, data: Rows,
    random_state: np.random.RandomState | int,
) -> tuple[Rows, Rows]:
    """Divide the rows into those to train on and those to score, as scikit-learn does."""
    stratify = None
    if isinstance(network.last_layer, SigmoidWithLoss) and e.n_outputs_ == 1:
        stratify = backend.to_numpy(data.part("t", 0, data.rows)) > 0
    trained, held = train_test_split(np.arange(data.rows), random_state=random_state,
                                     test_size=e.validation_fraction, stratify=stratify)
    if len(held) < 2:
        raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of "
                         "your dataset.")
    return data.take(trained), data.take(held)
