"""The numbers that optimisers and schedules are made of, checked once, in words."""

from __future__ import annotations

import math
from numbers import Integral, Real

__all__ = ["count", "fraction", "not_negative", "number", "positive"]


def number(where: str, name: str, value: object) -> float:
    """Give a Python float: a NumPy scalar would promote the arrays that it meets."""
    if not isinstance(value, Real):
        raise TypeError(f"{where} wants {name} to be a number; got {value!r}")
    return float(value)


def positive(where: str, name: str, value: object) -> float:
    """Give a number above 0."""
    x = number(where, name, value)
    if not 0 < x < math.inf:
        raise ValueError(f"{where} wants {name} above 0; got {value}")
    return x


def not_negative(where: str, name: str, value: object) -> float:
    """Give a number of 0 or more."""
    x = number(where, name, value)
    if not 0 <= x < math.inf:
        raise ValueError(f"{where} wants {name} of 0 or more; got {value}")
    return x


def fraction(where: str, name: str, value: object) -> float:
    """Give a number from 0 to below 1."""
    x = number(where, name, value)
    if not 0 <= x < 1:
        raise ValueError(f"{where} wants {name} from 0 to below 1; got {value}")
    return x


def count(where: str, name: str, value: object) -> int:
    """Give a whole number above 0."""
    if not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{where} wants {name} to be a whole number above 0; got {value!r}")
    return int(value)
