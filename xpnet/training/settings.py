"""What is checked of the settings of `fit`, alone and together."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from operator import index
from typing import Any, TypeGuard

import numpy as np

from xpnet.networks import Network
from xpnet.training.checkpoints import Checkpoints
from xpnet.training.evaluation import Metric, find_metrics
from xpnet.training.history import History
from xpnet.training.stopping import EarlyStopping

__all__ = ["check_settings", "checked_seed", "is_share"]


def check_settings(
    network: Network, optimizer: object, validation: object,
    metrics: Sequence[str] | Mapping[str, Metric] | None, early_stopping: EarlyStopping | None,
    callbacks: Sequence[object], checkpoints: object, resume: bool, history: History | None,
) -> None:
    """Refuse settings of `fit` that make no sense, alone or together (ValueError, TypeError)."""
    _check_kind("network", network, Network, "a Network: layers and a loss")
    if isinstance(optimizer, type) or not all(hasattr(optimizer, f) for f in ("init", "update")):
        raise TypeError(f"fit wants an optimizer, as SGD(0.1); got {optimizer!r:.60}")
    if is_share(validation):
        if not 0 < validation < 1:
            raise ValueError("fit wants the share of rows to validate on between 0 and 1; "
                             f"got {validation}")
    elif validation is not None and not (isinstance(validation, tuple | list)
                                         and len(validation) == 2):
        raise TypeError("fit wants validation to be data, (x, t), or the share of rows, as 0.1; "
                        f"got {validation!r:.60}")
    if early_stopping is not None:
        _check_kind("early_stopping", early_stopping, EarlyStopping, "an EarlyStopping")
    if checkpoints is not None:
        _check_kind("checkpoints", checkpoints, Checkpoints | str | os.PathLike,
                    "Checkpoints, or a path")
    if history is not None:
        _check_kind("history", history, History, "a History")
    if not isinstance(callbacks, Sequence) or not all(map(callable, callbacks)):
        raise TypeError("fit wants callbacks to be a list of functions of network and history; "
                        f"got {callbacks!r:.60}")
    _check_together(network, validation, metrics, early_stopping, checkpoints, resume, history)


def is_share(validation: object) -> TypeGuard[float]:
    """Tell a share of the rows from data."""
    return isinstance(validation, float | np.floating)


def _check_kind(name: str, value: object, kind: Any, wanted: str) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"fit wants {name} to be {wanted}; got {value!r:.60}")


def _check_together(
    network: Network, validation: object, metrics: Sequence[str] | Mapping[str, Metric] | None,
    early_stopping: EarlyStopping | None, checkpoints: object, resume: bool,
    history: History | None,
) -> None:
    if validation is None and (metrics is not None or early_stopping is not None):
        name = "early_stopping" if metrics is None else "metrics"
        raise ValueError(f"fit wants validation data for {name}; got validation=None")
    names = ["loss", *find_metrics(network, metrics)]
    if early_stopping is not None and early_stopping.monitor not in names:
        raise ValueError(f"early_stopping can monitor {', '.join(names)}; "
                         f"got {early_stopping.monitor!r}")
    if resume and checkpoints is None:
        raise ValueError("fit wants checkpoints to resume from; got checkpoints=None")
    if history is None or not history.epochs:
        return
    if resume:
        raise ValueError("fit takes the history from the checkpoint it resumes from; got one of "
                         f"{len(history.epochs)} epochs")
    if history.members != (members := _members(network)):
        raise ValueError(f"fit wants a history of {members or 1} networks to go on with; "
                         f"got one of {history.members or 1}")


def checked_seed(network: Network, seed: Any) -> int | list[int]:
    """Give the seed in Python's numbers: one, or one for each network of a stack (ValueError)."""
    members = _members(network)
    several = isinstance(seed, Iterable) and getattr(seed, "ndim", 1) > 0
    given = [*seed] if several else [seed]
    try:
        seeds = [-1 if isinstance(s, bool) else index(s) for s in given]
    except TypeError:
        seeds = [-1]
    if not all(0 <= s < 2**32 for s in seeds):
        raise ValueError(f"fit wants seeds that are whole numbers from 0 to 2**32 - 1; got {seed!r}")
    if several and len(seeds) != members:
        wanted = "one seed for a single network" if members is None else (
            f"a seed, or {members}, one for each network of the stack")
        raise ValueError(f"fit wants {wanted}; got {seed!r}")
    return seeds if several else seeds[0]


def _members(network: Network) -> int | None:
    """Give how many networks a stack has; None for a single one."""
    if not network.stack_axes:
        return None
    ndims = network.param_ndims
    stacks = {name: tuple(p.shape[:p.ndim - ndims[name]]) for name, p in network.params.items()}
    if len(set(stacks.values())) > 1:
        raise ValueError("fit wants a stack in which every network has its own parameters; got "
                         + ", ".join(f"{name} stacked {stack}" for name, stack in stacks.items()))
    return next(iter(stacks.values()))[0]
