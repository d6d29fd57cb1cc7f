"""Numbers that layers and losses are made of, checked once, in words."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real

__all__ = ["not_negative", "number"]


def number(
    where: str, wanted: str, value: object, fits: Callable[[float], bool] = math.isfinite
) -> float:
    """Give a Python float: a NumPy scalar would promote the arrays that it meets.

    Raises
    ------
    ValueError
        If it is no real number, or does not fit.
    """
    if not isinstance(value, Real) or not fits(float(value)):
        raise ValueError(f"{where} wants {wanted}; got {value!r}")
    return float(value)


def not_negative(x: float) -> bool:
    """Tell whether a number is one from 0, and finite."""
    return 0 <= x < math.inf
