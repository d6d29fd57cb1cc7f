"""What the layer checks want of arrays, and how they say that something else came."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import array_api_compat

from xpnet.functional._array import Array, array_namespace, device
from xpnet.testing import _host as libraries
from xpnet.testing.inputs import is_floating

__all__ = ["CheckError", "CheckSkipped", "Kind", "kind", "want_equal", "want_kind",
           "want_near"]


class CheckError(Exception):
    """What a check found wrong, in one line."""


class CheckSkipped(Exception):  # noqa: N818  no error: there is nothing to check
    """Why a check cannot be made of this layer, or here."""


class Kind(NamedTuple):
    """All of an array but its values."""

    library: str
    dtype: str
    shape: tuple[int, ...]
    device: str

    def __str__(self) -> str:
        return f"{self.library} {self.dtype} {self.shape} on {self.device}"


def kind(x: Array) -> Kind:
    """Describe an array.

    Raises
    ------
    CheckError
        If it is none.
    """
    if not array_api_compat.is_array_api_obj(x):
        raise CheckError(f"wants an array; got {type(x).__name__}")
    library = array_namespace(x).__name__.removeprefix("array_api_compat.")
    return Kind(library, str(x.dtype).rpartition(".")[2], tuple(x.shape), str(device(x)))


def want_kind(what: str, wanted: Kind, x: Any) -> None:
    """Raise unless something is an array of this kind."""
    found = kind(x) if array_api_compat.is_array_api_obj(x) else type(x).__name__
    if found != wanted:
        raise CheckError(f"wants {what} to be {wanted}; got {found}")


def want_equal(what: str, wanted: Array, x: Array) -> None:
    """Raise unless two arrays are the same."""
    if not libraries.equal(wanted, x):
        raise CheckError(f"wants {what}; got other values")


def want_near(what: str, wanted: Array, x: Array) -> None:
    """Raise unless two arrays differ by rounding, of their dtype and of the largest element."""
    off, largest = libraries.difference(wanted, x), libraries.largest(wanted)
    eps = float(array_namespace(wanted).finfo(wanted.dtype).eps) if is_floating(wanted) else 0.0
    if off > max(4 * math.sqrt(eps) * largest, eps):
        raise CheckError(f"wants {what} as in the layer's own run, of up to {largest:.3g}; "
                         f"got it off by {off:.3g}")
