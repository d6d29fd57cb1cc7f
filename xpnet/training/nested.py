"""Nested dictionaries of arrays, and the flat ones that files hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from xpnet.backend import backend_of
from xpnet.functional._array import Array, array_namespace

__all__ = ["copied", "flatten", "place"]


def copied(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Give a nested dictionary with copies of the arrays."""
    return {name: copied(a) if isinstance(a, Mapping) else array_namespace(a).asarray(a, copy=True)
            for name, a in arrays.items()}


def flatten(arrays: Mapping[str, Any]) -> dict[str, Array]:
    """Give the arrays of a nested dictionary by their joined names: `"params/W1"`."""
    flat: dict[str, Array] = {}
    for name, a in arrays.items():
        if "/" in name:
            raise ValueError(f'the name of an array is without "/", which joins names; got "{name}"')
        if isinstance(a, Mapping):
            flat |= {f"{name}/{inner}": b for inner, b in flatten(a).items()}
        else:
            flat[name] = a
    return flat


def place(
    tensors: Mapping[str, NDArray[Any]], like: Mapping[str, Any], where: str, *, cast: bool = False
) -> dict[str, Any]:
    """Put arrays of the host where others are: in their dictionaries, libraries, devices and dtypes.

    Parameters
    ----------
    tensors : mapping
        NumPy's arrays, by their joined names.
    like : mapping
        A nested dictionary of arrays.
    where : str
        What an error begins with: the file, for one.
    cast : bool
        Whether dtypes may differ.

    Returns
    -------
    dict
        As `like`, with the values of `tensors`.

    Raises
    ------
    ValueError
        If names, shapes or dtypes differ; the first difference is named.
    """
    wanted = flatten(like)
    for name, a in wanted.items():
        shape, dtype = tuple(a.shape), str(a.dtype).rpartition(".")[2]
        words = f'{where}: "{name}" of shape {shape} and dtype {dtype} wanted'
        found = tensors.get(name)
        if found is None:
            raise ValueError(f"{words}; there is none")
        if found.shape != shape or not (cast or found.dtype.name == dtype):
            raise ValueError(f"{words}; got {found.shape} and {found.dtype.name}")
    for name, found in tensors.items():
        if name not in wanted:
            raise ValueError(f'{where}: "{name}" is not wanted; '
                             f"got one of shape {found.shape} and dtype {found.dtype.name}")
    return _placed(tensors, like, "")


def _placed(tensors: Mapping[str, NDArray[Any]], like: Mapping[str, Any], prefix: str) -> Any:
    return {
        name: _placed(tensors, a, f"{prefix}{name}/") if isinstance(a, Mapping)
        else backend_of(a).asarray(tensors[prefix + name], a.dtype)
        for name, a in like.items()
    }
