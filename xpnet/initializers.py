"""Initial parameters, drawn on the host: one seed gives the same values on every library."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xpnet.backend import Backend, get_backend
from xpnet.functional._array import Array

__all__ = ["Initializer", "Seed", "weight_std"]

Seed: TypeAlias = int | Sequence[int] | NDArray[np.integer[Any]] | None
"""A seed; one a network, for a stack of networks; or None, for values that differ every time."""


def weight_std(weight_init_std: float | str, fan_in: int, fan_out: int | None = None) -> float:
    """Give the standard deviation of the weights of a layer (the book's chapter 6.2).

    Parameters
    ----------
    weight_init_std : float or str
        The standard deviation itself; "he" or "relu" for `sqrt(2 / fan_in)` (He et al. 2015,
        equation 10); "xavier" or "sigmoid" for `sqrt(1 / fan_in)`, as the book has it; "glorot" for
        `sqrt(2 / (fan_in + fan_out))` (Glorot and Bengio 2010, equation 12).
    fan_in, fan_out : int
        How many inputs an output of the layer depends on, and how many outputs on an input.
    """
    if weight_init_std in ("he", "relu"):
        return math.sqrt(2 / fan_in)
    if weight_init_std in ("xavier", "sigmoid"):
        return math.sqrt(1 / fan_in)
    if weight_init_std == "glorot":
        if fan_out is None:
            raise ValueError(f'weight_init_std "glorot" wants fan_out, too; got fan_in {fan_in} alone')
        return math.sqrt(2 / (fan_in + fan_out))
    wanted = 'a number from 0, "he", "relu", "xavier", "sigmoid" or "glorot"'
    if not isinstance(weight_init_std, Real) or not 0 <= weight_init_std < math.inf:
        raise ValueError(f"weight_init_std wants {wanted}; got {weight_init_std!r}")
    return float(weight_init_std)


class Initializer:
    """Draws the parameters of one layer after the other, from one seed.

        draw = Initializer(seed=0, backend="torch")
        layers = [Affine(*draw.affine(784, 50)), Relu(), Affine(*draw.affine(50, 10))]

    Parameters
    ----------
    weight_init_std : float or str
        See `weight_std`.
    seed : int, sequence of int, or None
        A sequence gives a stack, whose k-th network is that of the k-th seed.
    backend : str or Backend
        Where the parameters are to live; see `xpnet.get_backend`.
    dtype : str or dtype, optional
        Of the parameters; by default the library's default real dtype.
    """

    def __init__(
        self,
        weight_init_std: float | str = "he",
        *,
        seed: Seed = None,
        backend: str | Backend = "numpy",
        dtype: object = None,
    ) -> None:
        weight_std(weight_init_std, 1, 1)
        self.weight_init_std = weight_init_std
        self.backend = get_backend(backend)
        self.dtype = self.backend.default_dtype if dtype is None else dtype
        self._stacked = isinstance(seed, list | tuple | range | np.ndarray)
        seeds = seed if self._stacked else [seed]
        if len(seeds) == 0:  # type: ignore[arg-type]
            raise ValueError("a stack of networks wants at least one seed; got none")
        self._generators = [_generator(s) for s in seeds]  # type: ignore[union-attr]

    def affine(self, fan_in: int, fan_out: int) -> tuple[Array, Array]:
        """Give `W` `(fan_in, fan_out)`, drawn from a normal distribution, and `b`, zeros."""
        _check_sizes(fan_in, fan_out)
        std = weight_std(self.weight_init_std, fan_in, fan_out)
        return self._normal(std, (fan_in, fan_out)), self._full(0.0, fan_out)

    def convolution(
        self, filters: int, channels: int, height: int, width: int
    ) -> tuple[Array, Array]:
        """Give `W` `(filters, channels, height, width)`, drawn likewise, and `b`, zeros."""
        _check_sizes(filters, channels, height, width)
        area = height * width
        std = weight_std(self.weight_init_std, channels * area, filters * area)
        return self._normal(std, (filters, channels, height, width)), self._full(0.0, filters)

    def normalization(self, features: int) -> tuple[Array, Array]:
        """Give `gamma`, ones, and `beta`, zeros, of shape `(features,)`."""
        _check_sizes(features)
        return self._full(1.0, features), self._full(0.0, features)

    def _normal(self, std: float, shape: tuple[int, ...]) -> Array:
        return self._array(lambda rng: std * rng.standard_normal(shape))

    def _full(self, value: float, size: int) -> Array:
        return self._array(lambda rng: np.full(size, value))

    def _array(self, draw: Callable[[np.random.Generator], NDArray[np.float64]]) -> Array:
        values = [draw(rng) for rng in self._generators]
        return self.backend.asarray(np.stack(values) if self._stacked else values[0],
                                    dtype=self.dtype)


def _generator(seed: object) -> np.random.Generator:
    if seed is not None and (
        isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0
    ):
        raise ValueError(f"a seed is a whole number from 0; got {seed!r}")
    return np.random.default_rng(seed)


def _check_sizes(*sizes: int) -> None:
    for n in sizes:
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
            raise ValueError(f"sizes of layers are whole numbers above 0; got {n!r}")
