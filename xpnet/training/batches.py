"""The order of the rows: drawn on the host, the same on every library."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["epoch_batches"]


def epoch_batches(rows: int, batch_size: int, seed: int, epoch: int) -> NDArray[Any]:
    """Draw the batches of an epoch.

    Parameters
    ----------
    rows : int
        Rows of the data.
    batch_size : int
        Rows of a batch.
    seed : int
        The run's seed.
    epoch : int
        From 1. The order depends on seed and epoch alone, not on the epochs before.

    Returns
    -------
    numpy.ndarray
        Row numbers, `(rows // batch_size, batch_size)`, each at most once. Batches are of one
        size, so that a step is compiled once; the rows left over are others in each epoch.
    """
    order = np.random.default_rng([seed, epoch]).permutation(rows)
    steps = rows // batch_size
    return order[:steps * batch_size].reshape(steps, batch_size)
