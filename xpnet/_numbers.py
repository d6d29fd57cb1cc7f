"""Numbers that callers give, checked once, in words, and made Python's own."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real
from operator import index

__all__ = ["fraction", "not_negative", "positive", "real_number", "whole_number", "whole_numbers"]


def whole_number(where: str, name: str, value: object, least: int = 1) -> int:
    """Give a whole number from `least`, also a NumPy scalar's, as an int (else a ValueError)."""
    try:
        n = least - 1 if isinstance(value, bool) else index(value)  # type: ignore[arg-type]
    except TypeError:
        n = least - 1
    if n < least:
        wanted = "above 0" if least == 1 else f"from {least}"
        raise ValueError(f"{where} wants {name} to be a whole number {wanted}; got {value!r:.60}")
    return n


def whole_numbers(where: str, name: str, values: Iterable[object]) -> list[int]:
    """Give whole numbers above 0 as a list of int (else a ValueError)."""
    try:
        return [whole_number(where, name, value) for value in values]
    except (TypeError, ValueError):
        raise ValueError(f"{where} wants {name} to be a list of whole numbers above 0; "
                         f"got {values!r:.60}") from None


def real_number(where: str, name: str, value: object) -> float:
    """Give a finite number as a Python float: a NumPy scalar would promote the arrays it meets.

    Raises
    ------
    TypeError
        If it is no number, or a bool.
    ValueError
        If it is not finite.
    """
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{where} wants {name} to be a number; got {value!r:.60}")
    if not math.isfinite(value):
        raise ValueError(f"{where} wants {name} to be finite; got {value}")
    return float(value)


def positive(where: str, name: str, value: object) -> float:
    """Give a number above 0; see `real_number`."""
    x = real_number(where, name, value)
    if x <= 0:
        raise ValueError(f"{where} wants {name} above 0; got {value}")
    return x


def not_negative(where: str, name: str, value: object) -> float:
    """Give a number of 0 or more; see `real_number`."""
    x = real_number(where, name, value)
    if x < 0:
        raise ValueError(f"{where} wants {name} of 0 or more; got {value}")
    return x


def fraction(where: str, name: str, value: object) -> float:
    """Give a number from 0 to below 1; see `real_number`."""
    x = real_number(where, name, value)
    if not 0 <= x < 1:
        raise ValueError(f"{where} wants {name} from 0 to below 1; got {value}")
    return x
