"""A network's own `predict`, traced."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xpnet.backend import backend_of
from xpnet.functional._array import Array
from xpnet.networks import Network
from xpnet.onnx.graph import Graph
from xpnet.onnx.kernels import KERNELS

__all__ = ["Traced", "dtype_of", "trace"]


class Traced(NamedTuple):
    """What a network gives for rows, as arrays of ndonnx.

    Attributes
    ----------
    scores : array
        Of `predict`, `(N, …)`.
    predictions : array
        Of the network's loss for these, of their shape.
    """

    scores: Array
    predictions: Array


def dtype_of(network: Network) -> np.dtype[np.floating]:
    """Give NumPy's dtype of the parameters; float32 where there are none."""
    for p in network.params.values():
        name = str(p.dtype).rpartition(".")[2]
        if name not in ("float16", "float32", "float64"):
            raise TypeError(f"export wants parameters of float16, float32 or float64; got {p.dtype}")
        return np.dtype(name)
    return np.dtype("float32")


def trace(network: Network, graph: Graph, x: Array) -> Traced:
    """Trace a network that computes with ONNX's own operators where it can.

    Parameters
    ----------
    network : Network
        No stack of them; it stays as it is.
    graph : Graph
        What gets the parameters and the state, under their names.
    x : array
        Rows of ndonnx, as for `Network.predict`.

    Raises
    ------
    ValueError
        If the network takes no such rows.
    """
    params, state = (
        {name: graph.constant(name, backend_of(a).to_numpy(a)) for name, a in held.items()}
        for held in (network.params, network.state)
    )
    bound = network.with_kernels(KERNELS).bind(params, state)
    try:
        scores = bound.predict(x)
    except ValueError as error:
        raise ValueError(f"rows of shape {x.shape[1:]} do not go through this network: {error}") from error
    return Traced(scores, bound.last_layer.predictions(scores))
