from __future__ import annotations

import errno
import json
import resource
import struct
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from folders import content
from variants import Variant, make, missing

from xpnet.training.tensors import BrokenFileError, load_tensors, save_tensors

ARRAYS: dict[str, Any] = {
    "params": {"W1": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3), "b1": np.float64(-0.1)},
    "optimizer": {"v": {"W1": np.full((2, 3), 1e-300)}, "step": np.asarray(7, np.int32)},
    "empty": np.zeros((0, 3)),
    "state": {},
}
FLAT = {
    "params/W1": ARRAYS["params"]["W1"], "params/b1": np.asarray(-0.1),
    "optimizer/v/W1": np.full((2, 3), 1e-300), "optimizer/step": np.asarray(7, np.int32),
    "empty": np.zeros((0, 3)),
}
ABOUT: dict[str, Any] = {"epoch": 3, "losses": [0.1, 2.5], "name": "Größe", "none": None}


def on(xp: Variant, arrays: Any) -> Any:
    if isinstance(arrays, dict):
        return {name: on(xp, a) for name, a in arrays.items()}
    return xp.asarray(arrays)


def equal(tensors: dict[str, Any], expected: dict[str, Any]) -> bool:
    return tensors.keys() == expected.keys() and all(
        a.dtype == expected[name].dtype and a.shape == expected[name].shape
        and a.tobytes() == expected[name].tobytes() for name, a in tensors.items()
    )


def test_arrays_round_trip_from_every_library(eager: Variant, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, MappingProxyType(on(eager, ARRAYS)), MappingProxyType(ABOUT))
    tensors, about = load_tensors(str(path))
    assert equal(tensors, FLAT)
    assert about == ABOUT
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("dtype", [
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16",
    "float32", "float64", ">f8", ">i4",
])
def test_every_dtype_of_the_format(tmp_path: Path, dtype: str) -> None:
    values = np.asarray([[0, 1, 2], [3, 4, 100]]).astype(dtype)
    save_tensors(tmp_path / "a.safetensors", {"a": values}, {})
    found = load_tensors(tmp_path / "a.safetensors")[0]["a"]
    assert found.dtype == values.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "longdouble", "datetime64[s]", "O"])
def test_a_dtype_that_the_format_lacks(tmp_path: Path, dtype: str) -> None:
    with pytest.raises(ValueError, match=r'"a" is of dtype .* does not have: cast to float32'):
        save_tensors(tmp_path / "a.safetensors", {"a": np.zeros(3).astype(dtype)}, {})
    assert content(tmp_path) == {}


def test_bfloat16_is_refused_in_words(tmp_path: Path) -> None:
    for variant in ("torch", "jax"):
        if missing(variant):
            continue
        xp = make(variant).backend
        with pytest.raises(ValueError, match=r"bfloat16.*float32 first"):
            save_tensors(tmp_path / "a.safetensors",
                         {"a": xp.asarray(np.zeros(3, np.float32), "bfloat16")}, {})
    assert content(tmp_path) == {}


@pytest.mark.parametrize("view", [
    lambda a: a.T, lambda a: a[:, ::2], lambda a: a[::-1], lambda a: np.broadcast_to(a[:1], a.shape),
], ids=["transposed", "every second", "reversed", "broadcast"])
def test_arrays_in_any_memory_layout(tmp_path: Path, view: Any) -> None:
    a = view(np.arange(12.0).reshape(3, 4))
    save_tensors(tmp_path / "a.safetensors", {"a": a}, {})
    assert load_tensors(tmp_path / "a.safetensors")[0]["a"].tolist() == a.tolist()


def test_equal_content_makes_equal_bytes(tmp_path: Path) -> None:
    for k in range(8):
        save_tensors(tmp_path / f"{k}", ARRAYS, ABOUT)
    assert len(set(content(tmp_path).values())) == 1


def test_the_description_is_plain_json(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a", {"a": np.zeros(3)}, ABOUT)
    raw = (tmp_path / "a").read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    metadata = json.loads(raw[8:8 + length])["__metadata__"]
    about = json.loads(metadata["xpnet"])
    assert len(about.pop("sha256")) == 64
    assert about == ABOUT


@pytest.mark.parametrize(("arrays", "about", "error", "words"), [
    ({"a/b": np.zeros(3)}, {}, ValueError, '"a/b"'),
    ({"a": np.zeros(3)}, {"sha256": "mine"}, ValueError, "sha256"),
    ({"a": np.zeros(3)}, {"what": object()}, TypeError, "JSON"),
])
def test_what_cannot_be_said_leaves_the_old(
    tmp_path: Path, arrays: Any, about: Any, error: type[Exception], words: str
) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(error, match=words):
        save_tensors(tmp_path / "a", arrays, about)
    assert content(tmp_path) == {"a": b"old"}


def refusal(path: Path, **options: Any) -> str:
    __tracebackhide__ = True
    with pytest.raises(BrokenFileError) as caught:
        load_tensors(path, **options)
    words = str(caught.value)
    assert str(path) in words
    assert "\n" not in words
    return words


def test_a_flipped_bit_is_found_in_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "a"
    save_tensors(path, {"W": np.arange(6.0).reshape(2, 3), "n": np.asarray(7, np.int32)},
                 {"epoch": 3, "name": "mnist"})
    whole = path.read_bytes()
    expected = load_tensors(path)[0]
    bits = np.random.default_rng(0).integers(8, size=len(whole))
    for place, bit in enumerate(bits.tolist()):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << bit
        path.write_bytes(flipped)
        refusal(path)
        try:  # only in the checksum's own name it can pass for another program's
            tensors, _ = load_tensors(path, foreign=True)
        except BrokenFileError:
            continue
        assert equal(tensors, expected)
        assert place < len(whole) - 52


def test_a_flipped_bit_in_the_values_names_the_checksum(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a", {"W": np.zeros(3)}, {})
    with (tmp_path / "a").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    assert "checksum" in refusal(tmp_path / "a")
    assert "checksum" in refusal(tmp_path / "a", foreign=True)


def test_a_truncated_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a"
    save_tensors(path, ARRAYS, ABOUT)
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 5), len(whole) - 1]:
        path.write_bytes(whole[:length])
        assert "not a whole safetensors file" in refusal(path)


def test_a_page_of_zeros_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a"
    save_tensors(path, {"W": np.random.default_rng(0).normal(size=4096)}, {})
    whole = path.read_bytes()
    for start in range(0, len(whole), 4096):
        path.write_bytes(whole[:start] + bytes(4096) + whole[start + 4096:])
        refusal(path)


def foreign(
    metadata: dict[str, str] | None, dtype: str = "F64", size: int = 24
) -> bytes:
    """Write a safetensors file of one array of 3 zeros, by the format's specification."""
    header: dict[str, Any] = {"W": {"dtype": dtype, "shape": [3], "data_offsets": [0, size]}}
    if metadata is not None:
        header["__metadata__"] = metadata
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(size)


@pytest.mark.parametrize(("metadata", "about"), [
    (None, {}), ({}, {}), ({"format": "pt"}, {}),
    ({"xpnet": '{"network": "TwoLayerNet"}'}, {"network": "TwoLayerNet"}),  # xpnet's first files
])
def test_files_without_a_checksum(
    tmp_path: Path, metadata: dict[str, str] | None, about: dict[str, Any]
) -> None:
    (tmp_path / "a").write_bytes(foreign(metadata))
    assert "no checksum" in refusal(tmp_path / "a")
    tensors, found = load_tensors(tmp_path / "a", foreign=True)
    assert equal(tensors, {"W": np.zeros(3)})
    assert found == about


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "3", "[" * 100_000, '{"sha256": "0"'])
def test_a_description_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "a").write_bytes(foreign({"xpnet": text}))
    assert "description" in refusal(tmp_path / "a", foreign=True)


@pytest.mark.parametrize("checksum", [0, "", "0" * 64])
def test_a_wrong_checksum(tmp_path: Path, checksum: object) -> None:
    (tmp_path / "a").write_bytes(foreign({"xpnet": json.dumps({"sha256": checksum})}))
    assert "checksum" in refusal(tmp_path / "a", foreign=True)


def test_a_dtype_that_numpy_lacks(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(foreign(None, "F8_E4M3", 3))
    assert "no dtype F8_E4M3" in refusal(tmp_path / "a", foreign=True)


@pytest.mark.parametrize("raw", [b"", b"\x89PNG\r\n\x1a\n" + bytes(100), b"\xff" * 200,
                                 foreign(None) + b"more"])
def test_files_of_other_formats(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "a").write_bytes(raw)
    assert "not a whole safetensors file" in refusal(tmp_path / "a", foreign=True)


def test_files_that_cannot_be_read_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError, match="nosuch"):
        load_tensors(tmp_path / "nosuch")
    with pytest.raises(IsADirectoryError, match=tmp_path.name):
        load_tensors(tmp_path)
    for raised, words in ((OSError(errno.EIO, "Input/output error"), "Input/output"),
                          (MemoryError(), "memory")):
        def fail(self: Path, error: BaseException = raised) -> bytes:
            raise error

        monkeypatch.setattr(Path, "read_bytes", fail)
        with pytest.raises(type(raised), match=words) as caught:
            load_tensors(tmp_path / "a.file")
        assert "a.file" in str(caught.value)


def test_a_disk_without_room_leaves_the_old(tmp_path: Path) -> None:
    path = tmp_path / "a"
    save_tensors(path, {"a": np.zeros(3)}, {})
    before = content(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # half of it is really written
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            save_tensors(path, {"a": np.ones(25_000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(path)
    assert content(tmp_path) == before
    assert load_tensors(path)[0]["a"].tolist() == [0, 0, 0]
