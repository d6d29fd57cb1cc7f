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

__all__ = ["DatasetError", "map_idx", "parse_idx", "read_content", "read_idx"]

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


def map_idx(path: str | os.PathLike[str]) -> np.memmap[Any, Any]:
    """Map an IDX file that is not compressed: its elements are read when they are asked for.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    numpy.memmap
        The elements, read-only, in the order of bytes that they have in the file, the big end first.

    Raises
    ------
    DatasetError
        If the file cannot be read, is not IDX, or is longer or shorter than its dimensions say.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start, length = file.read(4 + 4 * 255), path.stat().st_size
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from None
    if start.startswith(_GZIP_MAGIC):
        raise DatasetError(f"{path}: compressed with gzip: only what lies in the file as it is can be mapped")
    offset, dtype, shape = _header(start, length, path, None)
    if not math.prod(shape):
        raise DatasetError(f"{path}: dimensions {shape}: there is nothing to be mapped")
    return np.memmap(path, dtype, mode="r", offset=offset, shape=shape)


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
    start, dtype, shape = _header(content, len(content), path, ndim)
    try:
        elements = np.frombuffer(content, dtype, offset=start).reshape(shape)
    except ValueError as error:  # more dimensions than NumPy has, or 0 beside larger ones
        raise DatasetError(f"{path}: dimensions {shape} cannot be had: {error}") from None
    return elements.astype(dtype.newbyteorder("="))  # a copy: that of the bytes is read-only


def _header(
    content: bytes, length: int, path: Path, ndim: int | None
) -> tuple[int, np.dtype[Any], tuple[int, ...]]:
    """Read where the elements begin, their dtype and shape; `content` is the file's first bytes at least."""
    if len(content) < 4:
        raise DatasetError(f"{path}: truncated: {length} bytes, too few for an IDX header")
    zeros, code, found_ndim = content[:2], content[2], content[3]
    if zeros != b"\0\0" or code not in _DTYPES:
        raise DatasetError(f"{path}: not an IDX file: it begins with {content[:4].hex(' ')}, "
                           "where 00 00 and a type from 08 to 0e are wanted")
    if ndim is not None and found_ndim != ndim:
        raise DatasetError(f"{path}: {_describe(found_ndim)} where {_describe(ndim)} are wanted "
                           f"(magic number {code << 8 | found_ndim}, not {code << 8 | ndim})")
    start = 4 + 4 * found_ndim
    if len(content) < start:
        raise DatasetError(f"{path}: truncated: {length} bytes, where {found_ndim} dimensions "
                           f"make a header of {start}")
    shape = tuple(int.from_bytes(content[i:i + 4], "big") for i in range(4, start, 4))
    dtype = np.dtype(_DTYPES[code])
    wanted = start + math.prod(shape) * dtype.itemsize
    if length != wanted:
        kind = "truncated" if length < wanted else "too long"
        raise DatasetError(f"{path}: {kind}: {length} bytes, where its dimensions "
                           f"{shape} make {wanted}")
    return start, dtype, shape


def _describe(ndim: int) -> str:
    kind = {1: "labels", 3: "images"}.get(ndim, "elements")
    return f"{kind} ({ndim} dimension{'s' * (ndim != 1)})"
