"""A fitted network, and what it goes on with, in another library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xpnet.functional._array import Array
from xpnet.sklearn._fitting import Resume
from xpnet.sklearn._network import PenalisedNetwork, build

__all__ = ["converted"]


def converted(
    converter: Callable[[Array], Array], network: PenalisedNetwork, resume: Resume
) -> dict[str, PenalisedNetwork | Resume]:
    """Give copies with other arrays, as an estimator's attributes.

    Parameters
    ----------
    converter : callable
        Gives an array in the other library.
    network, resume
        The estimator's `network_` and `_resume`.
    """
    resume = resume.again()
    params, state, resume.optimizer, resume.counter, resume.patience.weights = (
        _mapped(converter, arrays) for arrays in (
            dict(network.params), dict(network.state), resume.optimizer, resume.counter, resume.patience.weights))
    resume.steps = resume.settings = None  # which are of the first library
    return {"network_": build(params, state, **network.arguments), "_resume": resume}


def _mapped(f: Callable[[Array], Array], tree: Any) -> Any:
    """Give nested dictionaries with other arrays."""
    if isinstance(tree, dict):
        return {name: _mapped(f, a) for name, a in tree.items()}
    return None if tree is None else f(tree)
