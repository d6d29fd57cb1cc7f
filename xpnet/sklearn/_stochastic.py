"""The solvers that take a step for each batch: scikit-learn's epochs, orders and stopping."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from xpnet.backend import Backend
from xpnet.sklearn._network import PenalisedNetwork
from xpnet.sklearn._patience import Patience
from xpnet.sklearn._rows import Rows
from xpnet.sklearn._scores import quality, scores_of
from xpnet.sklearn._solvers import RatedOptimizer, adam, sgd, with_rate
from xpnet.sklearn._steps import Steps
from xpnet.sklearn._warnings import warn
from xpnet.training.data import Batch
from xpnet.training.step import Carry, Optimizer, gathered, operations

__all__ = ["StochasticFit", "optimizer_of"]

SMALLEST_RATE = 1e-6


def optimizer_of(estimator: Any) -> Optimizer:
    """Give the optimiser that an estimator's parameters describe."""
    e = estimator
    if e.solver == "adam":
        return adam(e.learning_rate_init, e.beta_1, e.beta_2, e.epsilon)
    plain = sgd(e.learning_rate_init, e.momentum, e.nesterovs_momentum)
    return plain if e.learning_rate == "constant" else RatedOptimizer(plain)


class StochasticFit:
    """Trains the network of an estimator, and keeps the estimator's fitted attributes.

    Parameters
    ----------
    estimator : estimator
        Whose parameters say how; its `loss_curve_`, `n_iter_` and so on are set.
    network : PenalisedNetwork
        The network, whose structure is read.
    backend : Backend
        Where it lives.
    steps : Steps
        Its compiled steps.
    rate : float
        The learning rate of the first step.
    carry : dict
        What the first step begins with; it is given away.

    Attributes
    ----------
    rate, carry
        Those of the next step.
    """

    def __init__(self, estimator: Any, network: PenalisedNetwork, backend: Backend, steps: Steps,
                 rate: float, carry: Carry) -> None:
        self._estimator, self._network, self._backend, self._steps = estimator, network, backend, steps
        self.rate, self.carry = rate, carry

    def run(
        self, data: Rows, held: Rows | None, random_state: np.random.RandomState, patience: Patience,
        incremental: bool,
    ) -> bool:
        """Train for `max_iter` epochs, or until patience is at an end; tell whether it is.

        Parameters
        ----------
        data : Rows
            What to train on.
        held : Rows, optional
            What to score, for early stopping.
        random_state : RandomState
            Shuffles the rows before each epoch.
        patience : Patience
            Looks at the training loss, or the score.
        incremental : bool
            Whether to train for one epoch alone.
        """
        e, order = self._estimator, np.arange(data.rows)
        epochs = 1 if incremental else e.max_iter
        size = self._batch_size(data.rows)
        e.n_iter_ = 0
        try:
            with self._backend.memory_errors(), self._backend.threads_for(operations(self._network, size)):
                for _ in range(epochs):
                    if e.shuffle:
                        numbers = np.arange(data.rows)  # what sklearn.utils.shuffle draws
                        random_state.shuffle(numbers)
                        order = order[numbers]
                    self._epoch(data, order, size, incremental)
                    if self._is_over(held, patience):
                        return True
        except KeyboardInterrupt:
            warn("Training interrupted by user.")
            return False
        if not incremental:
            warn(f"Stochastic Optimizer: Maximum iterations ({e.max_iter}) reached and the optimization hasn't "
                 "converged yet.", ConvergenceWarning)
        return False

    def _batch_size(self, rows: int) -> int:
        wanted = self._estimator.batch_size
        if wanted == "auto":
            return min(200, rows)
        if wanted > rows:
            warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped")
        return min(int(wanted), rows)

    def _batches(self, data: Rows, order: NDArray[Any], size: int) -> Iterator[tuple[int, Batch]]:
        """Give batches and their numbers of rows; the last may be smaller."""
        whole = len(order) // size * size
        for part, rows in ((order[:whole], size), (order[whole:], len(order) - whole)):
            for batch in data.batches(part.reshape(-1, max(rows, 1)), 0):
                yield rows, batch

    def _epoch(self, data: Rows, order: NDArray[Any], size: int, incremental: bool) -> None:
        """Take the steps of an epoch; read their losses at its end."""
        e, losses, counts = self._estimator, [], []
        for rows, batch in self._batches(data, order, size):
            if incremental:  # a step that is kept for other data must not hold these
                batch = gathered(*batch, shared=False), None
            self.carry, loss = self._steps(self.carry, batch)
            losses.append(loss)
            counts.append(rows)
        values = self._backend.to_numpy_all(losses).astype(np.float64)
        e.loss_ = float(values @ np.asarray(counts, np.float64)) / data.rows
        e.loss_curve_.append(e.loss_)
        e.n_iter_ += 1
        e.t_ += data.rows
        if e.verbose:
            print(f"Iteration {e.n_iter_}, loss = {e.loss_:.8f}")

    def _is_over(self, held: Rows | None, patience: Patience) -> bool:
        """Look at what an epoch has brought, and let the learning rate follow."""
        e = self._estimator
        value = e.loss_
        if held is not None:
            value = self._score(held)
            e.validation_scores_.append(value)
            if e.verbose:
                print(f"Validation score: {value:f}")
        patience.look(value, e.tol, self.carry)
        if e.solver == "sgd" and e.learning_rate == "invscaling":
            self._set_rate(e.learning_rate_init / (e.t_ + 1) ** e.power_t)
        if patience.waited <= e.n_iter_no_change:
            return False
        what = "Validation score" if held is not None else "Training loss"
        words = f"{what} did not improve more than tol={e.tol:f} for {e.n_iter_no_change} consecutive epochs."
        if e.solver != "sgd" or e.learning_rate != "adaptive":
            ending = " Stopping."
        elif self.rate <= SMALLEST_RATE:
            ending = " Learning rate too small. Stopping."
        else:
            patience.waited = 0
            self._set_rate(self.rate / 5)
            ending = f" Setting learning rate to {self.rate:f}"
        if e.verbose:
            print(words + ending)
        return ending.endswith("Stopping.")

    def scale_rate(self, factor: float) -> None:
        """Let the learning rate be so many times what it is, where it is part of the state."""
        if factor != 1 and "rate" in self.carry["optimizer"]:
            self._set_rate(self.rate * factor, kept=1.0)

    def _set_rate(self, rate: float, kept: float | None = None) -> None:
        """Set the learning rate; scikit-learn's velocity, as the book's, holds those of the steps that made it."""
        kept = self.rate / rate if kept is None else kept
        self.carry = {**self.carry, "optimizer": with_rate(self.carry["optimizer"], rate, kept)}
        self.rate = rate

    def _score(self, held: Rows) -> float:
        fast = self._network.with_kernels(self._backend.kernels)
        y = scores_of(fast.bind(self.carry["params"], self.carry["state"]), held)
        weight = held.part("weight", 0, held.rows) if "weight" in held.arrays else None
        return quality(self._network.last_layer, y, held.part("t", 0, held.rows), weight)
