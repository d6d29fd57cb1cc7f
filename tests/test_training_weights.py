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

from xpnet import (
    Affine,
    BackendError,
    DeepConvNet,
    MeanSquaredError,
    MultiLayerNet,
    Network,
    SigmoidWithLoss,
    SimpleConvNet,
    SoftmaxWithLoss,
    TwoLayerNet,
    load_network,
    load_weights,
    save_weights,
)
from xpnet.training import BrokenFileError
from xpnet.training.tensors import load_tensors, save_tensors

LOSS = {"loss": "SoftmaxWithLoss",
        "loss arguments": {"label_smoothing": 0.0, "class_weights": None}}


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
    about = json.loads(metadata["xpnet"])
    assert len(about.pop("sha256")) == 64
    assert about == {"network": "TwoLayerNet", "epochs": 3,
                     "arguments": {"input_size": 5, "hidden_size": 4, "output_size": 3}, **LOSS}

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


def weights_refused(path: Path, net: Network, *wanted: str) -> None:
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
    (unparse({}), '"W1" of shape (5, 4) and dtype float64 wanted; there is none'),
    (unparse({"W1": ("F64", [5, 4], 160)}), '"b1" of shape (4,) and dtype float64 wanted'),
    (zeros("F64", 8, W3=[3, 3]), '"W3" is not wanted; got one of shape (3, 3)'),
    (zeros("F64", 8, W1=[4, 5]), '"W1" of shape (5, 4)'),
    (zeros("F64", 8, b2=[1, 3]), '"b2" of shape (3,)'),
    (zeros("F32", 4), "float64 wanted; got (5, 4) and float32"),
    (zeros("F16", 2), "float64 wanted; got (5, 4) and float16"),
    (zeros("I64", 8), "float64 wanted; got (5, 4) and int64"),
    (zeros("BF16", 2), "no dtype BF16"),
    (zeros("F8_E4M3", 1), "no dtype F8_E4M3"),
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


def test_damaged_weights(tmp_path: Path) -> None:
    net, path = TwoLayerNet(5, 4, 3, seed=0), tmp_path / "w.safetensors"
    save_weights(path, TwoLayerNet(5, 4, 3, seed=1))
    with path.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    weights_refused(path, net, "checksum")
    with pytest.raises(BrokenFileError, match="checksum"):
        load_network(path)


def with_statistics(xp: Variant, seed: int | list[int] = 0) -> MultiLayerNet:
    """A network whose running statistics are not those that it begins with."""
    net = MultiLayerNet(5, [4, 4], 3, use_batchnorm=True, use_dropout=True, activation="gelu",
                        seed=seed, backend=xp.backend, dtype="float32")
    for k, name in enumerate(net.state, start=1):
        shape = net.state[name].shape
        net.state[name] = xp.asarray(np.linspace(k, k + 1, int(np.prod(shape))).reshape(shape),
                                     "float32")
    return net


def test_the_state_is_saved_with_the_parameters(eager: Variant, tmp_path: Path) -> None:
    saved = with_statistics(eager)
    assert set(saved.state) == {f"running_{what}{k}" for what in ("mean", "var") for k in (1, 2)}
    save_weights(tmp_path / "w.safetensors", saved)
    assert set(parse(tmp_path / "w.safetensors")[0]) == {*saved.params, *saved.state}
    other = MultiLayerNet(5, [4, 4], 3, use_batchnorm=True, seed=7, backend=eager.backend,
                          dtype="float32")
    load_weights(tmp_path / "w.safetensors", other)
    for name, a in {**saved.params, **saved.state}.items():
        eager.check({**other.params, **other.state}[name], eager.backend.to_numpy(a), rtol=0)


def test_weights_without_the_state_are_refused(tmp_path: Path) -> None:
    net = MultiLayerNet(5, [4], 3, use_batchnorm=True, seed=0)
    save_tensors(tmp_path / "w.safetensors", net.params, {})
    weights_refused(tmp_path / "w.safetensors", net, '"running_mean1"', "there is none")


@pytest.mark.parametrize("seed", [0, [0, 1, 2]], ids=["single", "stack"])
def test_a_network_is_made_from_its_file(
    eager: Variant, tmp_path: Path, seed: int | list[int]
) -> None:
    saved = with_statistics(eager, seed)
    save_weights(tmp_path / "w.safetensors", saved, {"epochs": 3})
    made = load_network(str(tmp_path / "w.safetensors"), backend=eager.backend)
    assert type(made) is MultiLayerNet
    assert made.arguments == saved.arguments
    assert made.stack_axes == saved.stack_axes
    numpy = load_network(tmp_path / "w.safetensors")
    for name, a in {**saved.params, **saved.state}.items():
        values = eager.backend.to_numpy(a)
        eager.check({**made.params, **made.state}[name], values, rtol=0)
        np.testing.assert_array_equal({**numpy.params, **numpy.state}[name], values)


SMALL_CONV = {"filter_num": 2, "filter_size": 3, "pad": 1, "stride": 1}
SIX_SMALL_CONVS: dict[str, Any] = {f"conv_param_{k}": SMALL_CONV for k in range(1, 7)}


@pytest.mark.parametrize("net", [
    TwoLayerNet(5, 4, 3, weight_init_std=1, seed=1),
    MultiLayerNet(5, [6, 4], 3, "tanh", 1, 0.1, seed=1),
    MultiLayerNet(5, (6,), 3, "silu", 1, use_dropout=True, dropout_ration=0.3, seed=1),
    SimpleConvNet((2, 8, 8), SMALL_CONV, 5, 4, seed=1),
    DeepConvNet((1, 8, 8), hidden_size=5, output_size=4, seed=1, **SIX_SMALL_CONVS),
], ids=["two layers", "weight decay", "dropout", "simple", "deep"])
def test_every_network_of_xpnet_is_made_from_its_file(tmp_path: Path, net: Network) -> None:
    save_weights(tmp_path / "w.safetensors", net)
    made = load_network(tmp_path / "w.safetensors")
    assert type(made) is type(net)
    assert made.arguments == net.arguments
    assert list(made.layers) == list(net.layers)
    shape = (3, *net.arguments.get("input_dim", [5]))
    x, t = np.linspace(-1, 1, int(np.prod(shape))).reshape(shape), np.asarray([0, 1, 2])
    np.testing.assert_array_equal(made.loss(x, t, train_flg=False), net.loss(x, t, train_flg=False))


def test_a_network_is_made_in_another_dtype(eager: Variant, tmp_path: Path) -> None:
    saved = TwoLayerNet(5, 4, 3, weight_init_std=1, seed=1, dtype="float64")
    save_weights(tmp_path / "w.safetensors", saved)
    for dtype in ("float32", "float64", None):
        made = load_network(tmp_path / "w.safetensors", backend=eager.backend, dtype=dtype)
        for name, p in saved.params.items():
            eager.check(made.params[name], p.astype(dtype or "float64"), rtol=0)


ARGUMENTS = {"input_size": 5, "hidden_size": 4, "output_size": 3}


@pytest.mark.parametrize(("about", "words"), [
    ({}, "cannot make its network, None: make it yourself, and load_weights"),
    ({"network": "Perceptron", "arguments": ARGUMENTS}, "cannot make its network, Perceptron"),
    ({"network": "Network", "arguments": {}}, "cannot make its network, Network"),
    ({"network": "Affine", "arguments": {}}, "cannot make its network, Affine"),
    ({"network": "__doc__", "arguments": {}}, "cannot make its network, __doc__"),
    ({"network": ["TwoLayerNet"], "arguments": ARGUMENTS}, "cannot make its network"),
    ({"network": "TwoLayerNet"}, "cannot make its network, TwoLayerNet"),
    ({"network": "TwoLayerNet", "arguments": [5, 4, 3]}, "cannot make its network"),
    ({"network": "TwoLayerNet", "arguments": {}}, "its TwoLayerNet cannot be made here: "),
    ({"network": "TwoLayerNet", "arguments": {**ARGUMENTS, "seed": 1}}, "cannot be made here: "),
    ({"network": "TwoLayerNet", "arguments": {**ARGUMENTS, "hidden": 1}}, "cannot be made here: "),
    ({"network": "TwoLayerNet", "arguments": {**ARGUMENTS, "input_size": "5"}},
     "cannot be made here: "),
    ({"network": "TwoLayerNet", "arguments": {**ARGUMENTS, "input_size": -5}},
     "cannot be made here: "),
    ({"network": "TwoLayerNet", "arguments": {**ARGUMENTS, "hidden_size": 10**15}},
     "cannot be made here: "),
    ({"network": "DeepConvNet", "arguments": {"input_dim": [1, 0, 0]}}, "cannot be made here: "),
    ({"network": "TwoLayerNet", "arguments": {**ARGUMENTS, "hidden_size": 6}},
     '"W1" of shape (5, 6) and dtype float64 wanted; got (5, 4)'),
    ({"network": "MultiLayerNet", "arguments": {
        "input_size": 5, "hidden_size_list": [4, 4], "output_size": 3}}, '"W2" of shape (4, 4)'),
])
def test_files_that_do_not_say_how_to_make_their_network(
    tmp_path: Path, about: dict[str, Any], words: str
) -> None:
    path = tmp_path / "w.safetensors"
    save_tensors(path, TwoLayerNet(5, 4, 3, seed=0).params, about)
    with pytest.raises(ValueError) as caught:
        load_network(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)


def test_a_network_of_ones_own_is_loaded_by_its_weights(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, Network([Affine(np.ones((5, 3)), np.zeros(3))]))
    assert load_tensors(path)[1] == {"network": "Network", "arguments": {}, **LOSS}
    with pytest.raises(ValueError, match="load_weights into it"):
        load_network(path)
    mine = Network([Affine(np.zeros((5, 3)), np.zeros(3))])
    load_weights(path, mine)
    np.testing.assert_array_equal(mine.params["W1"], np.ones((5, 3)))


def test_a_file_of_no_arrays_makes_no_network(tmp_path: Path) -> None:
    save_tensors(tmp_path / "w", {}, {"network": "TwoLayerNet", "arguments": ARGUMENTS})
    with pytest.raises(ValueError, match=r'"W1".*there is none'):
        load_network(tmp_path / "w")


def test_a_file_of_another_program_makes_no_network(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(zeros("F64", 8))
    with pytest.raises(BrokenFileError, match="no checksum"):
        load_network(tmp_path / "w.safetensors")


def test_64_bits_are_refused_by_a_jax_without_them(jax_with_32_bits: Any, tmp_path: Path) -> None:
    save_weights(tmp_path / "w.safetensors", TwoLayerNet(5, 4, 3, seed=0))
    with pytest.raises(ValueError, match=r"cannot be made here: JAX has float64 only"):
        load_network(tmp_path / "w.safetensors", backend="jax")
    made = load_network(tmp_path / "w.safetensors", backend="jax", dtype="float32")
    assert str(made.params["W1"].dtype) == "float32"


def test_a_backend_that_is_not_there(tmp_path: Path) -> None:
    save_weights(tmp_path / "w", TwoLayerNet(5, 4, 3))
    with pytest.raises(BackendError, match=r"^no backend 'nosuch'"):
        load_network(tmp_path / "w", backend="nosuch")


def test_the_description_does_not_hide_the_network(tmp_path: Path) -> None:
    save_weights(tmp_path / "w", TwoLayerNet(5, 4, 3), {"network": "?", "arguments": 3, "epochs": 1})
    assert load_tensors(tmp_path / "w")[1] == {
        "network": "TwoLayerNet", "arguments": ARGUMENTS, "epochs": 1, **LOSS}


@pytest.mark.parametrize("loss", [
    MeanSquaredError(), SigmoidWithLoss(), SoftmaxWithLoss(0.1),
    SoftmaxWithLoss(class_weights=np.array([1.0, 0.5, 2.0])),
], ids=lambda loss: type(loss).__name__)
def test_the_loss_is_rebuilt(loss: Any, tmp_path: Path) -> None:
    net = TwoLayerNet(2, 4, 3)
    net.last_layer = loss
    save_weights(tmp_path / "w.safetensors", net)
    found = load_network(tmp_path / "w.safetensors").last_layer
    assert type(found) is type(loss)
    assert found.arguments.keys() == loss.arguments.keys()
    x, t = np.ones((5, 2)), np.eye(3)[[0, 1, 2, 2, 1]]
    assert found.forward(net.predict(x), t) == loss.forward(net.predict(x), t)


class Mine(MeanSquaredError):  # noqa: N818
    """A loss of one's own."""


def test_a_loss_of_ones_own_is_not_taken_for_another(tmp_path: Path) -> None:
    net = TwoLayerNet(2, 4, 3)
    net.last_layer = Mine()
    save_weights(tmp_path / "w.safetensors", net)
    with pytest.raises(ValueError, match="xpnet cannot make its loss, Mine: make the network yourself"):
        load_network(tmp_path / "w.safetensors")
