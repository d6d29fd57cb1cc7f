"""The order of the rows: drawn on the host, the same on every library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["epoch_batches", "first_counter", "split_rows"]


def epoch_batches(
    rows: int, batch_size: int, seed: int | Sequence[int], epoch: int
) -> NDArray[Any]:
    """Draw the batches of an epoch.

    Parameters
    ----------
    rows : int
        Rows of the data.
    batch_size : int
        Rows of a batch.
    seed : int or sequence of int
        The run's seed; or K of them, one a network of a stack, each with an order of its own.
    epoch : int
        From 1. The order depends on seed and epoch alone, not on the epochs before.

    Returns
    -------
    numpy.ndarray
        Row numbers, `(rows // batch_size, batch_size)`, each at most once; for a stack
        `(rows // batch_size, K, batch_size)`. Batches are of one size, so that a step is compiled
        once; the rows left over are others in each epoch.
    """
    if not isinstance(seed, int):
        return np.stack([epoch_batches(rows, batch_size, s, epoch) for s in seed], axis=1)
    order = np.random.default_rng([seed, epoch]).permutation(rows)
    steps = rows // batch_size
    return order[:steps * batch_size].reshape(steps, batch_size)


def split_rows(rows: int, share: float, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Divide rows at random into those to train on and those to validate on.

    Parameters
    ----------
    rows : int
        Rows of the data.
    share : float
        Of the rows to validate on, between 0 and 1; rounded to whole rows.
    seed : int
        The run's seed.

    Returns
    -------
    training, validation : numpy.ndarray
        Row numbers, ascending.
    """
    order = np.random.default_rng([seed, 0]).permutation(rows)  # epochs count from 1
    held = round(rows * share)
    if not 0 < held < rows:
        raise ValueError(f"a validation split of {share:g} leaves {held} of {rows} rows for "
                         f"validation and {rows - held} for training: both want at least one")
    return np.sort(order[held:]), np.sort(order[:held])


def first_counter(seed: int | Sequence[int], step: int = 0) -> NDArray[np.int32]:
    """Give what a first step draws random numbers with: seed and step, `(2,)`, or `(K, 2)`."""
    counter = np.stack([np.asarray(seed, dtype=np.uint64), np.full_like(seed, step, np.uint64)], axis=-1)
    return counter.astype(np.uint32).view(np.int32)
