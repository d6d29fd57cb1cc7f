"""Gradients that are kept or dropped by the element, and how much is computed at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["INTEGERS", "at_a_time", "masked"]

BLOCK = 2**17
"""Numbers in as many rows or images as are computed at a time: half a MiB of float32."""

INTEGERS = {np.dtype("f2"): np.int16, np.dtype("f4"): np.int32, np.dtype("f8"): np.int64}
"""Integers of as many bits."""


def at_a_time(x: Any) -> int:
    """Tell how many rows or images to compute at a time."""
    return max(1, BLOCK * x.shape[0] // max(1, x.size))


def masked(x: Any, keep: Any, out: Any) -> None:
    """Write `x` where `keep`, else 0, by their bits.

    `where` guesses for each element which way it goes, and waits when it was wrong: ten times the time.
    """
    integer = INTEGERS[x.dtype]
    bits = np.negative(keep.view(np.int8), out=keep.view(np.int8))  # all of them or none
    np.bitwise_and(x.view(integer), bits, out=out.view(integer))
