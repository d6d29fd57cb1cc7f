"""What a fit does once its data are validated: the first weights, the solver, the attributes."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from operator import index
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from xpnet.backend import Backend
from xpnet.functional._array import Array, array_namespace
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

__all__ = ["Resume", "first_network", "hidden_sizes", "rebuilt", "train"]

SETTINGS = ("activation", "solver", "alpha", "learning_rate", "learning_rate_init", "momentum",
            "nesterovs_momentum", "beta_1", "beta_2", "epsilon", "dropout", "batch_norm")
"""The parameters that a compiled step depends on."""


@dataclass
class Resume:
    """What partial_fit, or a warm start, goes on with, beside the weights."""

    patience: Patience
    seed: int | None = None
    """Of dropout's masks, and of the rows that partial_fit holds out; drawn when it is first wanted."""
    optimizer: dict[str, Any] | None = None
    counter: Array = None
    rate: float = 0.0
    """The learning rate of the next step."""
    first_rate: float = 0.0
    steps: Steps | None = None
    settings: dict[str, Any] | None = None

    def again(self) -> Resume:
        """Give a copy, which a fit may change that is refused later."""
        return replace(self, patience=copy.copy(self.patience))

    def __getstate__(self) -> dict[str, Any]:
        """Leave out compiled steps, which no file can hold."""
        return {**vars(self), "steps": None, "settings": None}


def hidden_sizes(estimator: Any) -> list[int]:
    """Give the numbers of neurons of the hidden layers, if they are above 0 (else a ValueError)."""
    sizes = estimator.hidden_layer_sizes
    sizes = [*map(index, sizes)] if hasattr(sizes, "__iter__") else [index(sizes)]
    if any(n <= 0 for n in sizes):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return sizes


def first_network(
    estimator: Any, sizes: list[int], place: Place, dtype: Any, random_state: np.random.RandomState
) -> PenalisedNetwork:
    """Draw the first weights."""
    e = estimator
    drawn = first_parameters(sizes, e.activation, e.batch_norm, random_state)
    return _built(e, {name: place.backend.asarray(a, dtype) for name, a in drawn.items()}, {})


def rebuilt(estimator: Any, sizes: list[int]) -> PenalisedNetwork:
    """Give the network with copies of the weights that there are, and the parameters of now."""
    e, network = estimator, estimator.network_
    params = copied(network.params)
    normalised = "gamma1" in params
    found = [p.shape[0] for name, p in params.items() if name.startswith("b") and name[1:].isdigit()][:-1]
    if found != sizes or (sizes and e.batch_norm != normalised):
        raise ValueError(f"{type(e).__name__} goes on with hidden layers of {found} neurons, batch_norm="
                         f"{normalised}; got {sizes}, batch_norm={e.batch_norm}")
    return _built(e, params, copied(network.state))


def _built(e: Any, params: dict[str, Array], state: dict[str, Array]) -> PenalisedNetwork:
    return build(params, state, activation=e.activation, dropout=e.dropout, out_activation=e.out_activation_,
                 alpha=e.alpha, solver=e.solver)


def train(
    estimator: Any, network: PenalisedNetwork, resume: Resume, backend: Backend, data: Rows,
    random_state: np.random.RandomState, incremental: bool,
) -> None:
    """Let the solver train the network, and the estimator hold it in the end.

    Raises
    ------
    ValueError
        If the weights do not stay finite.
    """
    e = estimator
    scored = e.early_stopping and e.solver != "lbfgs"
    if resume.patience.scored != scored:
        resume.patience = Patience(scored)
        e.validation_scores_ = [] if scored else None
    if e.solver == "lbfgs":
        found = fit_lbfgs(e, network, backend, data)
        resume.patience.best = e.loss_
    else:
        found = _stochastic(e, network, resume, backend, data, random_state, incremental)
    if not finite([*found["params"].values()]):
        raise ValueError("Solver produced non-finite parameter weights. The input data may contain large "
                         "values and need to be preprocessed.")
    network.params.update(found["params"])
    network.state.update(found["state"])
    best = resume.patience.best
    e.best_loss_, e.best_validation_score_ = (None, best) if scored else (best, None)
    e.network_, e._resume, e.n_layers_ = network, resume, 2 + len(hidden_sizes(e))


def _stochastic(
    e: Any, network: PenalisedNetwork, resume: Resume, backend: Backend, data: Rows,
    random_state: np.random.RandomState, incremental: bool,
) -> dict[str, Any]:
    """Give the "params" and "state" after an epoch, or after all of them."""
    if resume.seed is None and (e.dropout or (incremental and e.early_stopping)):
        # Only where it is wanted: else, the numbers that follow are scikit-learn's.
        resume.seed, resume.counter = int(random_state.randint(np.iinfo(np.int32).max)), None
    held = None
    if e.early_stopping:
        # Rows of the same data, given again and again, stay held out.
        data, held = _held_out(e, network, backend, data, random_state, resume.seed if incremental else None)
    settings = {name: getattr(e, name) for name in SETTINGS}
    optimizer = optimizer_of(e)
    if not incremental or resume.settings != settings:
        resume.steps, resume.settings = Steps(network, optimizer, backend), settings
    assert resume.steps is not None
    first = optimizer.init(network.params)
    if not incremental or resume.optimizer is None or resume.optimizer.keys() != first.keys():
        resume.optimizer, resume.rate, resume.first_rate = first, e.learning_rate_init, e.learning_rate_init
    if resume.counter is None:
        resume.counter = backend.asarray(first_counter(resume.seed or 0))
    fit = StochasticFit(e, network, backend, resume.steps, resume.rate, copied({
        "params": dict(network.params), "state": dict(network.state), "optimizer": resume.optimizer,
        "counter": resume.counter}))
    fit.scale_rate(e.learning_rate_init / resume.first_rate)
    e.stopped_ = fit.run(data, held, random_state, resume.patience, incremental)
    carry = copied(fit.carry)
    resume.optimizer, resume.counter = carry["optimizer"], carry["counter"]
    resume.rate, resume.first_rate = fit.rate, e.learning_rate_init
    if not incremental:
        resume.steps = resume.settings = None  # which hold the data
    best = resume.patience.weights
    if e.stopped_ and incremental:
        resume.patience.waited = 0
    return copied(best) if best is not None and (e.stopped_ or not incremental) else carry


def _held_out(
    e: Any, network: PenalisedNetwork, backend: Backend, data: Rows, random_state: np.random.RandomState,
    seed: int | None,
) -> tuple[Rows, Rows]:
    """Divide the rows into those to train on and those to score: as scikit-learn does, or by a seed alone."""
    stratify = None
    if seed is None and isinstance(network.last_layer, SigmoidWithLoss) and e.n_outputs_ == 1:
        stratify = backend.to_numpy(data.part("t", 0, data.rows)) > 0
    parts = train_test_split(np.arange(data.rows), random_state=random_state if seed is None else seed,
                             test_size=e.validation_fraction, stratify=stratify)
    trained, held = (data.take(rows) for rows in parts)
    if held.rows < 2:
        raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your "
                         "dataset.")
    for rows in (trained, held):
        if "weight" in rows.arrays:
            weight = rows.part("weight", 0, rows.rows)
            if not bool(array_namespace(weight).any(weight > 0)):
                raise ValueError("early_stopping wants rows with a weight above 0 to train on, and to hold out")
    return trained, held
