"""What a network predicts, as fast as its backend can tell."""

from __future__ import annotations

from xpnet.backend import backend_of
from xpnet.functional._array import Array, array_namespace, size
from xpnet.networks import Network

__all__ = ["Predictor"]

ROWS, IMAGES = 1000, 250
"""Rows and images that are computed at a time, so that what is computed stays in the processor's cache."""
MANY = 2**20
"""Numbers of parameters whose way to the processor takes the time of five times as many rows."""


class Predictor:
    """A function from inputs to scores, as `network.predict`, for use again and again.

    It computes with the backend's kernels and is compiled by it, so that a single row takes a quarter of
    the time, and many are taken by the part. It holds copies of the weights as they are now: what trains
    the network later does not change it.

    Parameters
    ----------
    network : Network
        A network, or a stack of them.

    Raises
    ------
    BackendError
        If no backend knows the parameters' library.
    """

    def __init__(self, network: Network) -> None:
        params = {name: array_namespace(p).asarray(p, copy=True) for name, p in network.params.items()}
        state = {name: array_namespace(a).asarray(a, copy=True) for name, a in network.state.items()}
        reference = next(iter(params.values()))
        self._stacked = network.stack_axes > 0
        many = sum(size(p) for p in params.values()) >= MANY
        self._rows = 5 * ROWS if many else ROWS
        backend = backend_of(reference)
        fast = network.with_kernels(backend.kernels).bind(params, state)
        self._scores = backend.compile(fast.predict, record=network.is_recordable())

    def __call__(self, x: Array) -> Array:
        """Compute the scores.

        Parameters
        ----------
        x : array
            A batch, `(N, …)`, as for `Network.predict`.

        Returns
        -------
        array
            Scores, before softmax, `(N, C)`, or `(…, N, C)` from a stack.
        """
        if self._stacked or not hasattr(x, "shape") or x.shape[:1] <= (self._rows,):
            return self._scores(x)
        rows = self._rows if x.ndim == 2 else min(self._rows, IMAGES)
        last = max(x.shape[0] - rows, 0)
        parts = [self._scores(x[k:k + rows, ...]) for k in range(0, last, rows)]
        end = self._scores(x[last:, ...])  # of the same shape: it is compiled once
        return array_namespace(end).concat([*parts, end[rows * (len(parts) + 1) - x.shape[0]:, ...]])
