"""The IDX file format, in which MNIST and its relatives are published."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["DatasetError", "parse_idx", "read_content", "read_idx"]

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP_MAGIC = b"\x1f\x8b"


class DatasetError(ValueError):
    """A data file that is missing, broken, or not what it should be."""


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read an IDX file, plain or compressed with gzip.

    The format: two zero bytes, one for the type, one for the number of dimensions, each dimension
    as four bytes, then the elements, all big-endian (yann.lecun.com/exdb/mnist).

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    numpy.ndarray
        The elements, in the byte order of the machine.

    Raises
    ------
    DatasetError
        If the file cannot be read, is not IDX, or is longer or shorter than its dimensions say.
    """
    path = Path(path)
    return parse_idx(read_content(path), path)


def read_content(path: Path) -> bytes:
    """Read a file, and undo gzip where it begins with its magic number."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from None
    if not content.startswith(_GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path}: truncated or corrupted gzip file ({error})") from None


def parse_idx(content: bytes, path: Path, ndim: int | None = None) -> NDArray[Any]:
    """Read the decompressed content of an IDX file.

    Parameters
    ----------
    content : bytes
        The content.
    path : Path
        What to call it in errors.
    ndim : int, optional
        The number of dimensions it should have: 3 for images, 1 for labels.
    """
    if len(content) < 4:
        raise DatasetError(f"{path}: truncated: {len(content)} bytes, too few for an IDX header")
    zeros, code, found_ndim = content[:2], content[2], content[3]
    if zeros != b"\0\0" or code not in _DTYPES:
        raise DatasetError(f"{path}: not an IDX file: it begins with {content[:4].hex(' ')}, "
                           "where 00 00 and a type from 08 to 0e are wanted")
    if ndim is not None and found_ndim != ndim:
        raise DatasetError(f"{path}: {_describe(found_ndim)} where {_describe(ndim)} are wanted "
                           f"(magic number {code << 8 | found_ndim}, not {code << 8 | ndim})")
    start = 4 + 4 * found_ndim
    if len(content) < start:
        raise DatasetError(f"{path}: truncated: {len(content)} bytes, where {found_ndim} dimensions "
                           f"make a header of {start}")
    shape = tuple(int.from_bytes(content[i:i + 4], "big") for i in range(4, start, 4))
    dtype = np.dtype(_DTYPES[code])
    wanted = start + math.prod(shape) * dtype.itemsize
    if len(content) != wanted:
        kind = "truncated" if len(content) < wanted else "too long"
        raise DatasetError(f"{path}: {kind}: {len(content)} bytes, where its dimensions "
                           f"{shape} make {wanted}")
    try:
        elements = np.frombuffer(content, dtype, offset=start).reshape(shape)
    except ValueError as error:  # more dimensions than NumPy has, or 0 beside larger ones
        raise DatasetError(f"{path}: dimensions {shape} cannot be had: {error}") from None
    return elements.astype(dtype.newbyteorder("="))  # a copy: that of the bytes is read-only


def _describe(ndim: int) -> str:
    kind = {1: "labels", 3: "images"}.get(ndim, "elements")
    return f"{kind} ({ndim} dimension{'s' * (ndim != 1)})"
