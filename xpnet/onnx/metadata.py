"""What an ONNX model says of itself, as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from xpnet import __version__
from xpnet.functional._array import Array
from xpnet.networks import Network
from xpnet.training.weights import made_by

__all__ = ["described", "plain_labels"]


def described(network: Network, x: Array, outputs: Mapping[str, Array]) -> dict[str, Any]:
    """Tell of what network an exported model is.

    Parameters
    ----------
    network : Network
        The network.
    x : array
        The input, of ndonnx.
    outputs : mapping
        What is computed, by name.

    Returns
    -------
    dict
        "xpnet", the version; "network", "arguments", "loss" and "loss arguments", as in files of weights;
        "layers", each with name, class, and the shapes of parameters and state; "inputs" and "outputs" with
        their shapes and dtypes, "N" for the rows.
    """
    layers = [
        {"name": leaf.name, "class": type(leaf).__name__, "arrays": {
            name: [*held[name].shape] for held in (network.params, network.state)
            for name, (owner, _) in held.owners.items() if owner is leaf}}
        for leaf in network.leaves()
    ]
    return {"xpnet": __version__, **made_by(network), "layers": layers,
            "inputs": _shapes({"x": x}), "outputs": _shapes(outputs)}


def plain_labels(labels: Iterable[object], columns: int) -> list[object]:
    """Give labels as JSON can hold them.

    Raises
    ------
    ValueError
        If there are not as many as columns.
    TypeError
        If they are no strings and no numbers.
    """
    plain = [each.item() if hasattr(each, "item") else each for each in labels]
    if isinstance(labels, str) or not all(isinstance(each, str | int | float) for each in plain):
        raise TypeError(f"export wants labels to be strings or numbers; got {labels!r:.60}")
    if len(plain) != columns:
        raise ValueError(f"export wants a label for each of {columns} columns; got {len(plain)}")
    return plain


def _shapes(arrays: Mapping[str, Array]) -> dict[str, Any]:
    return {name: {"shape": ["N", *a.shape[1:]], "dtype": str(a.dtype)} for name, a in arrays.items()}
