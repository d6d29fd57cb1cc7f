"""Pickles of arrays, read without running anything that they ask for.

A pickle is a program that calls functions by their names. This reader knows the few names that
NumPy writes for an array, and has functions of its own in their places, which take numbers out of
bytes and do nothing else. Not even NumPy's are called: they believe what a pickle says of a dtype,
and one that lies about object arrays makes them take its bytes for addresses.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_arrays"]

NDARRAY = "the class numpy.ndarray"


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read a pickled dictionary of arrays, of Python 2 or 3, NumPy 1 or 2, in any protocol.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict
        Arrays of float16, float32 or float64, in the byte order of the machine.

    Raises
    ------
    ValueError
        If the file is no pickle, or one of anything else. Nothing of it has been run.
    """
    try:
        with path.open("rb") as file:
            found = _Reader(file, encoding="latin1").load()
    except (OSError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001  a broken pickle can raise any
        reason = str(error) or type(error).__name__
        raise ValueError(f"{path}: no pickle of arrays: {reason}") from None
    if not isinstance(found, dict):
        raise ValueError(  # noqa: TRY004  the file is wrong, no argument
            f"{path}: a dictionary of arrays wanted; got {_kind(found)}"
        )
    for name, a in found.items():
        if not isinstance(name, str) or not isinstance(a, _Array) or a.values is None:
            raise ValueError(f"{path}: names and arrays wanted; {name!a:.40} is {_kind(a)}")
    return {name: a.values for name, a in found.items()}


class _Array:
    """Stands for an array, which is filled when its state comes."""

    def __init__(self, values: NDArray[Any] | None = None) -> None:
        self.values = values

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, dtype, is_fortran, raw = state
        self.values = _values(raw, dtype, shape, "F" if is_fortran else "C")


class _Dtype:
    """Stands for a dtype, of floats alone."""

    def __init__(self, text: str, *_: object) -> None:
        if not re.fullmatch(r"[<>=]?f[248]", text):
            raise ValueError("arrays of float16, float32 or float64 wanted; "
                             f"got one of dtype {text!a:.40}")
        self.dtype = np.dtype(text)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


def _values(raw: Any, dtype: _Dtype, shape: tuple[int, ...], order: Any) -> NDArray[Any]:
    if isinstance(raw, str):  # Python 2 had no bytes
        raw = raw.encode("latin1")
    if not isinstance(raw, bytes | bytearray) or not isinstance(dtype, _Dtype):
        raise TypeError("the values of an array are bytes")
    values = np.frombuffer(raw, dtype.dtype).reshape(shape, order=order)
    return values.astype(dtype.dtype.newbyteorder("="))


def _reconstruct(subtype: object, *_: object) -> _Array:
    """Stand for what begins an array in protocols 0 to 4, and 5 where it is not contiguous."""
    if subtype is not NDARRAY:
        raise TypeError("arrays of the class numpy.ndarray wanted")
    return _Array()


def _frombuffer(
    raw: object, dtype: _Dtype, shape: tuple[int, ...], order: str,
    axes: tuple[int, ...] | None = None,
) -> _Array:
    """Stand for what makes an array in protocol 5; with the order "K", one of permuted axes."""
    if axes is None:
        return _Array(_values(raw, dtype, shape, order))
    return _Array(_values(raw, dtype, shape, "C").transpose(axes))


def _encode(text: str, encoding: str) -> bytes:
    """Stand for what makes bytes of text: Python 3 writes them so in protocols 0 to 2."""
    if encoding != "latin1":
        raise ValueError(f"bytes as latin1 wanted; got {encoding!a:.40}")
    return text.encode("latin1")


class _Call:
    """A stand-in to call. A bare function would not do: a pickle could set its attributes."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, _: object) -> NoReturn:
        raise ValueError("it changes what it calls")


_STAND_INS = {
    "numpy.ndarray": NDARRAY,
    "numpy.dtype": _Call(_Dtype),
    "numpy.core.multiarray._reconstruct": _Call(_reconstruct),  # NumPy 1
    "numpy._core.multiarray._reconstruct": _Call(_reconstruct),  # NumPy 2
    "numpy.core.numeric._frombuffer": _Call(_frombuffer),
    "numpy._core.numeric._frombuffer": _Call(_frombuffer),
    "_codecs.encode": _Call(_encode),
}


class _Reader(pickle.Unpickler):
    """Gives the stand-ins for the names of a pickle."""

    def find_class(self, module: str, name: str) -> Any:
        """Give the stand-in for what a pickle names, or refuse it."""
        wanted = f"{module}.{name}"
        if wanted not in _STAND_INS:
            raise ValueError(f"it names {wanted!a:.60}, which no array needs")
        return _STAND_INS[wanted]

    def persistent_load(self, pid: object) -> NoReturn:
        """Refuse what lies outside the file."""
        raise ValueError("it names something outside of it")


def _kind(value: object) -> str:
    return "an array" if isinstance(value, _Array) else f"of type {type(value).__name__}"
