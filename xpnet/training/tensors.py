"""Arrays in files: safetensors, with a description in JSON and a checksum."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet._extras import import_extra
from xpnet.backend import backend_of
from xpnet.training.atomic import atomic_path
from xpnet.training.nested import flatten

__all__ = ["BrokenFileError", "check_tensors", "load_tensors", "save_tensors"]

_DTYPES = {"bool", "float16", "float32", "float64",
           *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64))}
_PURPOSE = "reading and writing safetensors files"


class BrokenFileError(ValueError):
    """A file that is damaged, or no safetensors file, or not one of xpnet where that is wanted."""


def save_tensors(
    path: str | os.PathLike[str], arrays: Mapping[str, Any], about: Mapping[str, Any]
) -> None:
    """Write arrays of any backend to a safetensors file (extra `train`).

    Written beside it first, flushed, then renamed: what was at `path` is replaced whole or not at
    all. The same content makes the same bytes.

    Parameters
    ----------
    path : path
        The file.
    arrays : mapping
        Arrays by name, in dictionaries within dictionaries if need be: `"params/W1"` in the file.
    about : mapping
        What else to say, as JSON, in the file's metadata under "xpnet". A SHA-256 of all that the
        file says is added, as "sha256": the format has no checksum.

    Raises
    ------
    ValueError
        If an array's dtype is none of the format's.
    OSError, MemoryError
        If there is no room; the file is named.
    """
    numpy_format = import_extra("safetensors.numpy", _PURPOSE)
    about = dict(about)
    if "sha256" in about:
        raise ValueError('"sha256" in the description is the place of the checksum')
    with _named(path):
        tensors = check_tensors(arrays)
        # One entry in the metadata: the format writes several in any order.
        text = json.dumps({"sha256": _sha256(tensors, about), **about})
        raw = numpy_format.save(tensors, {"xpnet": text})
        with atomic_path(path) as temporary:
            temporary.write_bytes(raw)


def check_tensors(arrays: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Give arrays as they would be written.

    Raises
    ------
    ValueError, TypeError
        If something is no array, or of a dtype that is none of the format's.
    """
    return {name: _to_host(name, a) for name, a in flatten(arrays).items()}


def load_tensors(
    path: str | os.PathLike[str], *, foreign: bool = False
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read a safetensors file (extra `train`).

    Parameters
    ----------
    path : path
        The file.
    foreign : bool
        Whether it may be without a checksum: other programs write none.

    Returns
    -------
    tensors : dict
        NumPy's arrays, by their joined names.
    about : dict
        The description; empty if the file is another program's.

    Raises
    ------
    BrokenFileError
        If the file is not as it was written.
    OSError, MemoryError
        If it cannot be read; the file is named.
    """
    numpy_format = import_extra("safetensors.numpy", _PURPOSE)
    safetensors = import_extra("safetensors", _PURPOSE)
    with _named(path):
        raw = Path(path).read_bytes()
        try:
            tensors = numpy_format.load(raw)
        except safetensors.SafetensorError as error:
            raise BrokenFileError(f"{path}: not a whole safetensors file ({error})") from None
        except KeyError as error:  # safetensors' own
            raise BrokenFileError(f"{path}: NumPy has no dtype {error.args[0]}") from None
        about = _description(path, raw)
        checksum = about.pop("sha256", None)
        if checksum is None and not foreign:
            raise BrokenFileError(f"{path}: damaged, or not written by xpnet: it has no checksum")
        if checksum is not None and checksum != _sha256(tensors, about):
            raise BrokenFileError(f"{path}: damaged: its content does not have its checksum")
    return tensors, about


def _to_host(name: str, a: Any) -> NDArray[Any]:
    host = backend_of(a).to_numpy(a)
    if host.dtype.name not in _DTYPES:
        raise ValueError(f'"{name}" is of dtype {host.dtype}, which safetensors for NumPy does not '
                         "have: cast to float32 first")
    # The format would silently store wrong values for a transposed view. (`ascontiguousarray` makes
    # one dimension of none.)
    return np.asarray(host, host.dtype.newbyteorder("<"), order="C")


def _sha256(tensors: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> str:
    described = [(name, a.dtype.name, a.shape) for name, a in sorted(tensors.items())]
    digest = hashlib.sha256(json.dumps([about, described]).encode())
    for name, _, _ in described:
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()


def _description(path: str | os.PathLike[str], raw: bytes) -> dict[str, Any]:
    """Give what the metadata of a safetensors file says under "xpnet"."""
    header = json.loads(raw[8:8 + int.from_bytes(raw[:8], "little")])
    try:
        about = json.loads((header.get("__metadata__") or {}).get("xpnet", "{}"))
        if isinstance(about, dict):
            return about
    except (ValueError, RecursionError):
        pass
    raise BrokenFileError(f"{path}: its description is not JSON")


@contextmanager
def _named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Name the file in errors, of which a failed read names none."""
    try:
        yield
    except MemoryError:
        raise MemoryError(f"{path}: not enough memory") from None
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
