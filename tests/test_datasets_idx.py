from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from xpnet import DatasetError
from xpnet.datasets import map_idx, read_idx
from xpnet.datasets.idx import parse_idx

# The type codes of yann.lecun.com/exdb/mnist, as struct packs them big-endian.
TYPES = {"uint8": (0x08, "B"), "int8": (0x09, "b"), "int16": (0x0B, "h"), "int32": (0x0C, "i"),
         "float32": (0x0D, "f"), "float64": (0x0E, "d")}


def header(code: int, *shape: int) -> bytes:
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape)


def idx(values: NDArray[Any]) -> bytes:
    """Write the elements one by one, without NumPy's own byte orders."""
    code, letter = TYPES[values.dtype.name]
    flat = values.ravel().tolist()
    return header(code, *values.shape) + struct.pack(f">{len(flat)}{letter}", *flat)


def some(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Draw values whose bytes all matter: of both signs, and not of one byte alone."""
    random = np.random.default_rng(0)
    if dtype.startswith("float"):
        return random.standard_normal(shape).astype(dtype)
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


IMAGES = idx(some((3, 4, 5), "uint8"))


def refused(path: Path, *wanted: str) -> str:
    """See that a file is refused in words: its name, what was wanted, what came; in one line."""
    __tracebackhide__ = True
    with pytest.raises(DatasetError) as caught:
        read_idx(path)
    message = str(caught.value)
    for part in (str(path), *wanted):
        assert part in message
    assert "\n" not in message
    return message


def refused_content(tmp_path: Path, content: bytes, *wanted: str) -> str:
    __tracebackhide__ = True
    path = tmp_path / "some-idx"
    path.write_bytes(content)
    return refused(path, *wanted)


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 4), (1, 1, 1), (0,), (0, 28, 28), (3, 0)])
@pytest.mark.parametrize("dtype", TYPES)
def test_reads_every_type_and_shape(
    tmp_path: Path, dtype: str, shape: tuple[int, ...], compressed: bool
) -> None:
    expected = some(shape, dtype)
    content = idx(expected)
    path = tmp_path / "some-idx"
    path.write_bytes(gzip.compress(content) if compressed else content)
    found = read_idx(path)
    assert found.dtype == np.dtype(dtype)
    assert found.dtype.isnative
    assert found.shape == shape
    np.testing.assert_array_equal(found, expected)


def test_byte_order_and_sign_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "some-idx"
    path.write_bytes(bytes.fromhex("00 00 0b 02 00000001 00000003 0001 fffe 0100"))
    np.testing.assert_array_equal(read_idx(path), [[1, -2, 256]])
    path.write_bytes(bytes.fromhex("00 00 0d 01 00000002 3f800000 c0000000"))
    np.testing.assert_array_equal(read_idx(path), [1.0, -2.0])


def test_takes_a_path_as_text_and_any_name(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"  # not compressed: the content decides
    path.write_bytes(IMAGES)
    np.testing.assert_array_equal(read_idx(str(path)), some((3, 4, 5), "uint8"))


def test_gzip_of_several_members(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(IMAGES[:20]) + gzip.compress(IMAGES[20:]))
    np.testing.assert_array_equal(read_idx(path), some((3, 4, 5), "uint8"))


def test_empty_file(tmp_path: Path) -> None:
    refused_content(tmp_path, b"", "truncated", "0 bytes", "header")
    refused_content(tmp_path, gzip.compress(b""), "truncated", "0 bytes", "header")


@pytest.mark.parametrize("start", ["01000803", "00010803", "00000003", "00000a03", "00000f03",
                                   "504b0304", "89504e47"])
def test_wrong_magic(tmp_path: Path, start: str) -> None:
    content = bytes.fromhex(start) + IMAGES[4:]
    refused_content(tmp_path, content, "not an IDX file", bytes.fromhex(start).hex(" "), "wanted")


@pytest.mark.parametrize("length", range(1, 16))
def test_truncated_header(tmp_path: Path, length: int) -> None:
    message = refused_content(tmp_path, IMAGES[:length], "truncated", f"{length} bytes")
    # With the number of dimensions known, a header of 16 bytes is wanted, not some size made of
    # the dimensions that are left.
    assert ("16" in message) if length >= 4 else ("header" in message)


@pytest.mark.parametrize("length", [16, 17, 40, len(IMAGES) - 1])
def test_truncated_data(tmp_path: Path, length: int) -> None:
    refused_content(tmp_path, IMAGES[:length],
                    "truncated", f"{length} bytes", "(3, 4, 5)", f"{len(IMAGES)}")


@pytest.mark.parametrize("extra", [b"\0", b"\n", IMAGES])
def test_trailing_bytes(tmp_path: Path, extra: bytes) -> None:
    refused_content(tmp_path, IMAGES + extra, "too long", f"{len(IMAGES) + len(extra)} bytes",
                    "(3, 4, 5)", f"{len(IMAGES)}")
    refused_content(tmp_path, idx(some((0, 5), "int16")) + extra, "too long", "(0, 5)")


@pytest.mark.parametrize(("code", "shape", "wanted"), [
    (0x08, (2**20, 2**20, 2**20), 2**60 + 16),
    (0x0E, (2**19, 2**19, 2**19), 2**60 + 16),
    (0x08, (2**32 - 1,) * 3, (2**32 - 1) ** 3 + 16),
])
def test_header_that_claims_more_than_there_is(
    tmp_path: Path, code: int, shape: tuple[int, ...], wanted: int
) -> None:
    refused_content(tmp_path, header(code, *shape) + b"\0" * 100,
                    "truncated", "116 bytes", str(shape), str(wanted))


@pytest.mark.parametrize(("content"), [
    header(0x08, *[1] * 65) + b"a",  # NumPy has at most 64 dimensions
    header(0x08, *[1] * 255) + b"a",
    header(0x08, 0, 2**32 - 1, 2**32 - 1, 2**32 - 1),  # no elements, and more than NumPy can count
    header(0x08, 2**32 - 1, 2**32 - 1, 2**32 - 1, 0),
], ids=["65 dimensions", "255 dimensions", "zero first", "zero last"])
def test_shape_that_numpy_cannot_have(tmp_path: Path, content: bytes) -> None:
    refused_content(tmp_path, content)


def test_truncated_gzip(tmp_path: Path) -> None:
    content = gzip.compress(IMAGES)
    for length in range(2, len(content)):
        refused_content(tmp_path, content[:length], "gzip", "truncated")


def test_corrupted_gzip(tmp_path: Path) -> None:
    random = np.random.default_rng(0).integers(0, 256, 500).astype(np.uint8)
    content = gzip.compress(header(0x08, 500) + random.tobytes(), mtime=0)
    path = tmp_path / "some-idx"
    unnoticed = []
    for offset in range(len(content)):
        for flip in (0x01, 0x10, 0x80, 0xFF):
            broken = bytearray(content)
            broken[offset] ^= flip
            path.write_bytes(broken)
            try:
                found = read_idx(path)
            except DatasetError as error:
                assert str(path) in str(error)  # noqa: PT017  not every flip is an error
            else:
                np.testing.assert_array_equal(found, random)
                unnoticed.append(offset)
    # Time of writing, operating system and the like; and the flag of the last block's padding.
    assert set(unnoticed) <= {3, 4, 5, 6, 7, 8, 9, 10}


def test_garbage_after_gzip(tmp_path: Path) -> None:
    refused_content(tmp_path, gzip.compress(IMAGES) + b"garbage", "gzip", "corrupted")


def test_missing_file(tmp_path: Path) -> None:
    refused(tmp_path / "nosuch", "cannot be read", "No such file")


def test_folder(tmp_path: Path) -> None:
    refused(tmp_path, "cannot be read")


@pytest.mark.parametrize(("shape", "ndim", "found", "wanted"), [
    ((3, 4, 5), 1, "images (3 dimensions)", "labels (1 dimension) "),
    ((3,), 3, "labels (1 dimension)", "images (3 dimensions) "),
    ((3, 4), 3, "elements (2 dimensions)", "images (3 dimensions) "),
])
def test_images_and_labels_in_place_of_each_other(
    shape: tuple[int, ...], ndim: int, found: str, wanted: str
) -> None:
    content = idx(some(shape, "uint8"))
    with pytest.raises(DatasetError) as caught:
        parse_idx(content, Path("x-ubyte"), ndim=ndim)
    message = str(caught.value)
    assert message.startswith(f"x-ubyte: {found} where {wanted}")
    assert f"magic number {0x0800 + len(shape)}, not {0x0800 + ndim}" in message
    np.testing.assert_array_equal(
        parse_idx(content, Path("x-ubyte"), ndim=len(shape)), some(shape, "uint8"))


def test_dataset_error_is_a_value_error() -> None:
    assert issubclass(DatasetError, ValueError)


@pytest.mark.parametrize("dtype", TYPES)
def test_a_mapped_file_is_the_file_that_is_read(tmp_path: Path, dtype: str) -> None:
    values = some((3, 4, 5), dtype)
    (tmp_path / "some-idx").write_bytes(idx(values))
    mapped = map_idx(tmp_path / "some-idx")
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, values)
    with pytest.raises(ValueError, match="read-only"):
        mapped[0] = 0


@pytest.mark.parametrize(("content", "words"), [
    (gzip.compress(IMAGES), "compressed with gzip: only what lies in the file as it is can be mapped"),
    (IMAGES[:-1], "truncated: 75 bytes, where its dimensions (3, 4, 5) make 76"),
    (IMAGES + b"1", "too long: 77 bytes"), (b"PNG and more", "not an IDX file"), (b"", "too few for an IDX header"),
    (header(8, 0, 4), "there is nothing to be mapped"),
])
def test_what_cannot_be_mapped(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "some-idx"
    path.write_bytes(content)
    with pytest.raises(DatasetError) as caught:
        map_idx(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)
    with pytest.raises(DatasetError, match="cannot be read: No such file"):
        map_idx(tmp_path / "none")
