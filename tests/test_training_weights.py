from __future__ import annotations

import errno
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folders import content
from numpy.typing import NDArray
from variants import Variant, missing

from xpnet import TwoLayerNet, load_weights, save_weights


def network(xp: Variant, seed: int | list[int] = 0, dtype: str = "float32") -> TwoLayerNet:
    return TwoLayerNet(5, 4, 3, weight_init_std="he", seed=seed, backend=xp.backend, dtype=dtype)


def host(xp: Variant, net: TwoLayerNet) -> dict[str, NDArray[Any]]:
    return {name: xp.backend.to_numpy(p).copy() for name, p in net.params.items()}


def parse(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Read a safetensors file by its specification, without the library."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8:8 + length])
    metadata = header.pop("__metadata__")
    data = raw[8 + length:]
    dtypes = {"F32": "<f4", "F64": "<f8"}
    return {
        name: np.frombuffer(data[slice(*about["data_offsets"])],
                            dtypes[about["dtype"]]).reshape(about["shape"])
        for name, about in header.items()
    }, metadata


def unparse(tensors: dict[str, tuple[str, list[int], int]]) -> bytes:
    """Write a safetensors file of zeros, from (dtype, shape, bytes) by name."""
    header, offset = {}, 0
    for name, (dtype, shape, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(offset)


@pytest.mark.parametrize("seed", [0, [0, 1, 2]], ids=["single", "stack"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_round_trip(
    eager: Variant, tmp_path: Path, dtype: str, seed: int | list[int]
) -> None:
    path = tmp_path / "weights.safetensors"
    saved = network(eager, seed, dtype)
    expected = host(eager, saved)
    save_weights(path, saved, {"epochs": 3})
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    in_file, metadata = parse(path)
    assert list(in_file) == sorted(expected)
    assert json.loads(metadata["xpnet"]) == {"network": "TwoLayerNet", "epochs": 3}

    other = network(eager, 7 if seed == 0 else [7, 8, 9], dtype)
    load_weights(str(path), other)
    for name, values in expected.items():
        assert in_file[name].dtype == values.dtype
        np.testing.assert_array_equal(in_file[name], values)
        eager.check(other.params[name], values, dtype=dtype, rtol=0)
    other.params["W1"] -= eager.asarray(np.ones_like(expected["W1"]))  # it can be trained on
    eager.check(other.params["W1"], expected["W1"] - 1, dtype=dtype)
    np.testing.assert_array_equal(parse(path)[0]["W1"], expected["W1"])


def test_weights_go_from_one_library_to_another(eager: Variant, tmp_path: Path) -> None:
    save_weights(tmp_path / "w.safetensors", network(eager))
    numpy = TwoLayerNet(5, 4, 3, seed=7, dtype="float32")
    load_weights(tmp_path / "w.safetensors", numpy)
    for name, values in host(eager, network(eager)).items():
        np.testing.assert_array_equal(numpy.params[name], values)


def test_weights_that_are_a_transposed_view(eager: Variant, tmp_path: Path) -> None:
    net = network(eager)
    expected = np.arange(20, dtype=np.float32).reshape(4, 5).T
    net.params["W1"] = eager.asarray(np.ascontiguousarray(expected.T)).mT
    save_weights(tmp_path / "w.safetensors", net)
    np.testing.assert_array_equal(parse(tmp_path / "w.safetensors")[0]["W1"], expected)
    other = network(eager, 7)
    load_weights(tmp_path / "w.safetensors", other)
    eager.check(other.params["W1"], expected, rtol=0)


@pytest.mark.parametrize("view", [
    lambda a: np.asfortranarray(a), lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    lambda a: np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1],
    lambda a: np.broadcast_to(a[:1, :1], a.shape),
], ids=["Fortran", "every second", "reversed", "broadcast"])
def test_weights_in_any_memory_layout(tmp_path: Path, view: Any) -> None:
    net = TwoLayerNet(5, 4, 3, seed=0)
    w = view(np.arange(20.0).reshape(5, 4))
    expected = w.tolist()
    net.params["W1"] = w
    save_weights(tmp_path / "w.safetensors", net)
    assert parse(tmp_path / "w.safetensors")[0]["W1"].tolist() == expected


def weights_refused(path: Path, net: TwoLayerNet, *wanted: str) -> None:
    """See that a file is refused in words, and that the network is as it was."""
    __tracebackhide__ = True
    arrays = dict(net.params)
    values = {name: np.array(p) for name, p in arrays.items()}
    with pytest.raises(ValueError) as caught:
        load_weights(path, net)
    for part in (str(path), *wanted):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    for name, p in net.params.items():
        assert p is arrays[name]
        np.testing.assert_array_equal(p, values[name])


def test_truncated_weights(tmp_path: Path) -> None:
    net, path = TwoLayerNet(5, 4, 3, seed=0), tmp_path / "w.safetensors"
    save_weights(path, net)
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 7), len(whole) - 1]:
        path.write_bytes(whole[:length])
        weights_refused(path, net, "safetensors")


SHAPES = {"W1": [5, 4], "b1": [4], "W2": [4, 3], "b2": [3]}


def zeros(dtype: str, itemsize: int, **shapes: list[int]) -> bytes:
    return unparse({name: (dtype, shape, itemsize * int(np.prod(shape)))
                    for name, shape in (SHAPES | shapes).items()})


def test_weights_written_here_by_hand_are_read(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(zeros("F64", 8))
    net = TwoLayerNet(5, 4, 3, seed=0)
    load_weights(tmp_path / "w.safetensors", net)
    for p in net.params.values():
        assert not p.any()


@pytest.mark.parametrize(("broken", "wanted"), [
    (b"", "safetensors"),
    (b"\x89PNG\r\n\x1a\n" + bytes(100), "safetensors"),
    (b"\xff" * 200, "safetensors"),
    (struct.pack("<Q", 10) + b"not JSON!!", "safetensors"),
    (zeros("F64", 8) + b"more", "safetensors"),
    (unparse({}), "W1, b1, W2, b2 wanted"),
    (unparse({"W1": ("F64", [5, 4], 160)}), "W1, b1, W2, b2 wanted"),
    (zeros("F64", 8, W3=[3, 3]), "got W1, W2, W3, b1, b2"),
    (zeros("F64", 8, W1=[4, 5]), '"W1" of shape (5, 4)'),
    (zeros("F64", 8, b2=[1, 3]), '"b2" of shape (3,)'),
    (zeros("F32", 4), "float64 wanted; got (5, 4) and float32"),
    (zeros("F16", 2), "float64 wanted; got (5, 4) and float16"),
    (zeros("I64", 8), "float64 wanted; got (5, 4) and int64"),
    (zeros("BF16", 2), "float64 wanted"),
    (zeros("F8_E4M3", 1), "float64 wanted"),
], ids=["empty", "a picture", "ones", "not JSON", "trailing bytes", "no parameter", "one parameter",
        "a layer more", "transposed", "broadcastable", "float32", "float16", "int64", "bfloat16",
        "float8"])
def test_broken_weights_and_those_of_another_network(
    tmp_path: Path, broken: bytes, wanted: str
) -> None:
    (tmp_path / "w.safetensors").write_bytes(broken)
    weights_refused(tmp_path / "w.safetensors", TwoLayerNet(5, 4, 3, seed=0), wanted)


@pytest.mark.parametrize(("saved", "wanted"), [("float64", "float32"), ("float32", "float64")])
def test_weights_of_another_dtype(
    eager: Variant, tmp_path: Path, saved: str, wanted: str
) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, network(eager, dtype=saved))
    net = network(eager, 7, wanted)
    before = host(eager, net)
    with pytest.raises(ValueError, match=rf"{wanted} wanted; got .*{saved}"):
        load_weights(path, net)
    for name, values in before.items():
        eager.check(net.params[name], values, rtol=0)


@pytest.fixture
def jax_with_32_bits() -> Iterator[Any]:
    """JAX as it is when nobody has enabled its 64-bit types."""
    if reason := missing("jax"):
        pytest.skip(reason)
    import jax

    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", False)
    yield jax
    jax.config.update("jax_enable_x64", before)


def test_weights_of_64_bits_do_not_lose_them_silently(
    jax_with_32_bits: Any, tmp_path: Path
) -> None:
    save_weights(tmp_path / "w.safetensors", TwoLayerNet(5, 4, 3, seed=0, dtype="float64"))
    net = TwoLayerNet(5, 4, 3, seed=7, backend="jax", dtype="float32")
    arrays = dict(net.params)
    with pytest.raises(ValueError, match=r"float32 wanted; got .*float64"):
        load_weights(tmp_path / "w.safetensors", net)
    for name, p in arrays.items():
        assert net.params[name] is p


def test_missing_weights(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nosuch\.safetensors"):
        load_weights(tmp_path / "nosuch.safetensors", TwoLayerNet(5, 4, 3))


def test_weights_on_a_full_disk_leave_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, TwoLayerNet(5, 4, 3, seed=0))
    before = content(tmp_path)

    def write_half(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", write_half)
    with pytest.raises(OSError, match="No space left"):
        save_weights(path, TwoLayerNet(5, 4, 3, seed=1))
    assert content(tmp_path) == before


def test_weights_with_a_description_that_is_not_json_leave_the_old(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, TwoLayerNet(5, 4, 3, seed=0))
    before = content(tmp_path)
    with pytest.raises(TypeError, match="JSON"):
        save_weights(path, TwoLayerNet(5, 4, 3, seed=1), {"what": object()})
    assert content(tmp_path) == before
