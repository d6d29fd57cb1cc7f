"""How well a network does on data that it is not trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from xpnet import metrics as all_metrics
from xpnet._numbers import whole_number
from xpnet.backend import Backend, backend_of
from xpnet.distributed import Ranks
from xpnet.functional._array import Array, array_namespace, sum_dtype
from xpnet.networks import Network
from xpnet.training.checks import checked_data
from xpnet.training.data import Data, widened
from xpnet.training.step import Carry, scores

__all__ = ["Evaluation", "Metric", "evaluate", "find_metrics"]

Metric: TypeAlias = Callable[[Array, Array], Array]

TAKEN = ("epoch", "member", "loss", "validation loss", "seconds", "samples per second", "ranks")
"""The columns of a history's table that are there anyway."""


def find_metrics(network: Network, metrics: Sequence[str] | Mapping[str, Metric] | None
                 ) -> dict[str, Metric]:
    """Give metrics by name: those named, of `xpnet.metrics`, or by default what suits the loss."""
    if isinstance(metrics, Mapping):
        for name, function in metrics.items():
            if not isinstance(name, str) or name in TAKEN or not callable(function):
                raise ValueError('metrics wants functions of scores and labels, by names other than '
                                 f'{", ".join(TAKEN)}; got {name!r}: {function!r:.60}')
        return dict(metrics)
    if isinstance(metrics, str) or not isinstance(metrics, Sequence | None):
        raise TypeError(f'metrics wants a list of names, as ["accuracy"]; got {metrics!r:.60}')
    names = [network.last_layer.metric] if metrics is None else list(metrics)
    for name in names:
        if name not in all_metrics.__all__:
            raise ValueError(f"no metric {name!r}; there are {', '.join(all_metrics.__all__)}")
    return {name: getattr(all_metrics, name) for name in names}


class Evaluation:
    """Measures a network on data: its loss, and metrics.

    Parameters
    ----------
    network : Network
        The network, whose structure is read.
    backend : Backend
        Compiles what computes the scores.
    data : Data
        What to measure on.
    metrics : mapping
        Functions of scores and labels, by name: `(N, C)` and `(N, …)`, or of a stack `(K, N, C)` and
        `(1, N, …)`.
    batch_size : int
        Rows at a time. The scores of all rows are then looked at together.
    ranks : Ranks
        Those who compute the scores, each those of its rows; rank 0 looks at them.
    """

    def __init__(self, network: Network, backend: Backend, data: Data,
                 metrics: Mapping[str, Metric], batch_size: int, ranks: Ranks) -> None:
        self._network, self._data, self._metrics = network, data, metrics
        self._batch_size, self._backend, self._ranks = batch_size, backend, ranks
        self._scores = backend.compile(scores(network))

    def scores(self, carry: Carry) -> Array:
        """Compute the scores of this rank's rows, `(N, C)` or `(K, N, C)`; of one row at least."""
        own = self._ranks.part(self._data.rows)
        first, last = min(own.start, self._data.rows - 1), max(own.stop, own.start + 1)
        parts = [
            self._scores(carry["params"], carry["state"],
                         self._data.part("x", lo, min(lo + self._batch_size, last)))
            for lo in range(first, last, self._batch_size)
        ]
        return array_namespace(parts[0]).concat(parts, axis=-2)

    def __call__(self, carry: Carry) -> dict[str, Any]:
        """Measure: "loss" and the metrics, as Python numbers, in (nested) lists if not 0-dimensional."""
        y, rows = self.scores(carry), self._data.rows
        if self._ranks.size == 1:
            return self._measured(y, rows, self._metrics)
        y = self._ranks.gather_rows(self._backend.to_numpy(widened(y)), rows)
        measured = None if y is None else self._measured(self._backend.asarray(y), rows, self._metrics)
        return self._ranks.broadcast(measured)

    def try_out(self, carry: Carry) -> dict[str, Any]:
        """Measure the first row, by metrics of xpnet alone, to see that they suit the scores."""
        own = {name: f for name, f in self._metrics.items() if f in vars(all_metrics).values()}
        y = scores(self._network)(carry["params"], carry["state"], self._data.part("x", 0, 1))
        return self._measured(y, 1, own)

    def _measured(self, y: Array, rows: int, metrics: Mapping[str, Metric]) -> dict[str, Any]:
        t = self._data.part("t", 0, rows)
        t = t[None, ...] if y.ndim > 2 else t
        found = {"loss": self._network.last_layer.bind().forward(y, t)}
        found |= {name: f(y, t) for name, f in metrics.items()}
        return {name: _on_host(name, value, y.shape[:-2]) for name, value in found.items()}


def _on_host(name: str, value: Any, stack: tuple[int, ...]) -> Any:
    """Give what was measured as Python numbers, if it is numbers (else a ValueError)."""
    if hasattr(value, "shape"):
        xp = array_namespace(value)
        if xp.isdtype(value.dtype, "real floating"):
            value = xp.astype(value, sum_dtype(value), copy=False)
        value = np.asarray(backend_of(value).to_numpy(value)).tolist()
    found = np.asarray(value)
    if found.dtype.kind not in "biuf" or found.shape[:len(stack)] != tuple(stack):
        wanted = f"{stack[0]} values, one for each network," if stack else "a number, or an array,"
        raise ValueError(f"{wanted} wanted of the metric {name}; got {value!r:.60}")
    return found.tolist()


def evaluate(
    network: Network,
    x: Array,
    t: Array,
    *,
    metrics: Sequence[str] | Mapping[str, Metric] | None = None,
    batch_size: int = 100,
) -> dict[str, Any]:
    """Measure a network on data, in batches.

    The loss is that of the scores alone, without a penalty that a network adds to it in training.

    Parameters
    ----------
    network : Network
        The network, or a stack of them.
    x, t : array
        As for `fit`.
    metrics : sequence of str or mapping, optional
        Names of `xpnet.metrics`, or functions of scores and labels by name; see `fit`.
    batch_size : int
        Rows at a time.

    Returns
    -------
    dict
        "loss" and the metrics, as Python numbers; in lists, one a network, for a stack.
    """
    batch_size = whole_number("evaluate", "batch_size", batch_size)
    backend, data = checked_data("evaluation", network, x, t, None)
    measure = Evaluation(network.with_kernels(backend.kernels), backend, data,
                         find_metrics(network, metrics), batch_size, Ranks())
    with backend.memory_errors():
        return measure({"params": dict(network.params), "state": dict(network.state)})
