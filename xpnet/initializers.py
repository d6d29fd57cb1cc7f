"""Initial parameters, drawn on the host: one seed gives the same values on every library."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Seed", "affine_parameters", "weight_std"]

Seed: TypeAlias = int | Sequence[int] | NDArray[np.integer[Any]] | None
"""A seed; one a network, for a stack of networks; or None, for values that differ every time."""


def weight_std(weight_init_std: float | str, fan_in: int) -> float:
    """Give the standard deviation of the weights of a layer (the book's chapter 6.2).

    Parameters
    ----------
    weight_init_std : float or str
        The standard deviation itself; "he" or "relu" for `sqrt(2 / fan_in)` (He et al. 2015,
        equation 10); "xavier" or "sigmoid" for `sqrt(1 / fan_in)`, as the book has it.
    fan_in : int
        Number of inputs of the layer.
    """
    if weight_init_std in ("he", "relu"):
        return math.sqrt(2 / fan_in)
    if weight_init_std in ("xavier", "sigmoid"):
        return math.sqrt(1 / fan_in)
    if isinstance(weight_init_std, str) or not 0 <= weight_init_std < math.inf:
        raise ValueError('weight_init_std wants a number from 0, "he", "relu", "xavier" or '
                         f'"sigmoid"; got {weight_init_std!r}')
    return float(weight_init_std)


def affine_parameters(
    sizes: Sequence[int], weight_init_std: float | str, seed: Seed
) -> dict[str, NDArray[np.float64]]:
    """Draw the parameters of a chain of Affine layers.

    Parameters
    ----------
    sizes : sequence of int
        Features before, between and after the layers, as `[784, 50, 10]`.
    weight_init_std : float or str
        See `weight_std`.
    seed : int, sequence of int, or None
        A sequence gives a stack, whose k-th network is that of the k-th seed.

    Returns
    -------
    dict
        `W1` `(sizes[0], sizes[1])`, drawn from a normal distribution, `b1` `(sizes[1],)`, zeros,
        `W2`, `b2`, …; with stack axis in front for a sequence of seeds.
    """
    for n in sizes:
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
            raise ValueError(f"sizes of layers are whole numbers above 0; got {n!r}")
    if isinstance(seed, list | tuple | range | np.ndarray):
        if len(seed) == 0:
            raise ValueError("a stack of networks wants at least one seed; got none")
        members = [affine_parameters(sizes, weight_init_std, s) for s in seed]
        return {name: np.stack([m[name] for m in members]) for name in members[0]}
    if seed is not None and (
        isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0
    ):
        raise ValueError(f"a seed is a whole number from 0; got {seed!r}")
    rng = np.random.default_rng(seed)
    params = {}
    for i, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes), start=1):
        std = weight_std(weight_init_std, fan_in)
        params[f"W{i}"] = std * rng.standard_normal((fan_in, fan_out))
        params[f"b{i}"] = np.zeros(fan_out)
    return params
