from __future__ import annotations

import csv
import errno
import json
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import matplotlib.figure
import matplotlib.image
import numpy as np
import pytest
from numpy.typing import NDArray
from variants import Variant, missing

from xpnet import History, TwoLayerNet, load_weights, save_weights
from xpnet.training import Epoch, draw_curves, draw_predictions
from xpnet.training.atomic import atomic_path

HISTORY = History([
    Epoch(1, 2.302585093, 0.5, 0.25, 123456.789),
    Epoch(2, 0.0001234567891, 0.9375, 0.5, 200000.0),
    Epoch(3, 1e-12, 1.0, 3600.5, 1e9),
])


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# atomic_path


@pytest.mark.parametrize("before", [None, b"the old, and longer than the new"])
def test_atomic_path_replaces_whole(tmp_path: Path, before: bytes | None) -> None:
    path = tmp_path / "some.file"
    if before is not None:
        path.write_bytes(before)
    with atomic_path(path) as temporary:
        assert temporary.parent == tmp_path  # else renaming is copying
        assert temporary.suffix == ".file"  # that a format is chosen by
        temporary.write_bytes(b"new, ")
        assert (path.read_bytes() if path.exists() else None) == before
        with temporary.open("ab") as file:
            file.write(b"whole")
    assert content(tmp_path) == {"some.file": b"new, whole"}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("before", [{}, {"some.file": b"old"}], ids=["nothing", "old"])
def test_atomic_path_keeps_what_was_there(
    tmp_path: Path, before: dict[str, bytes], error: type[BaseException]
) -> None:
    for name, old in before.items():
        (tmp_path / name).write_bytes(old)

    def write() -> None:
        with atomic_path(tmp_path / "some.file") as temporary:
            temporary.write_bytes(b"half of the n")
            raise error

    with pytest.raises(error):
        write()
    assert content(tmp_path) == before


def test_atomic_path_where_the_block_removes_the_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "some.file").write_bytes(b"old")
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "some.file") as temporary:
        temporary.unlink()
    assert content(tmp_path) == {"some.file": b"old"}


def test_atomic_path_onto_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"), atomic_path(tmp_path / "folder") as temporary:
        temporary.write_bytes(b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_atomic_path_flushes_before_it_renames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[object] = []
    fsync, replace = os.fsync, Path.replace

    def recorded_fsync(file: int) -> None:
        done.append(os.fstat(file).st_ino)
        fsync(file)

    def recorded_replace(self: Path, target: Path) -> Path:
        done.append("renamed")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(Path, "replace", recorded_replace)
    with atomic_path(tmp_path / "some.file") as temporary:
        temporary.write_bytes(b"new")
    assert done == [(tmp_path / "some.file").stat().st_ino, "renamed"]


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has a umask")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002, 0o000])
def test_atomic_path_gives_the_permissions_of_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with atomic_path(tmp_path / "some.file") as temporary:
            temporary.write_bytes(b"new")
    finally:
        after = os.umask(before)
    assert (tmp_path / "some.file").stat().st_mode & 0o7777 == 0o666 & ~umask
    assert after == umask  # as it was


# History


def test_history_as_csv(tmp_path: Path) -> None:
    HISTORY.write_csv(tmp_path / "history.csv")
    with (tmp_path / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "loss", "accuracy", "seconds", "samples_per_second"]
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    for row, epoch in zip(rows, HISTORY.epochs, strict=True):
        for name in ("loss", "accuracy", "seconds", "samples_per_second"):
            assert float(row[name]) == pytest.approx(getattr(epoch, name), rel=1e-6, abs=0)


def test_history_without_accuracy_or_epochs(tmp_path: Path) -> None:
    History([Epoch(1, 2.0, None, 0.5, 100.0)]).write_csv(tmp_path / "one.csv")
    assert (tmp_path / "one.csv").read_text().splitlines()[1] == "1,2,,0.5,100"
    History().write_csv(tmp_path / "none.csv")
    assert (tmp_path / "none.csv").read_text().splitlines() == [
        "epoch,loss,accuracy,seconds,samples_per_second"]


def test_history_that_cannot_be_written_leaves_the_old(tmp_path: Path) -> None:
    broken: Any = [*HISTORY.epochs, "not an epoch"]
    (tmp_path / "history.csv").write_bytes(b"old")
    with pytest.raises(TypeError):
        History(broken).write_csv(tmp_path / "history.csv")
    assert content(tmp_path) == {"history.csv": b"old"}


# Weights


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


# Pictures


def picture(path: Path) -> NDArray[Any]:
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    return matplotlib.image.imread(path)[..., :3]


def pixels(image: NDArray[Any], colour: str) -> int:
    """Count the pixels of a colour, as #rrggbb."""
    wanted = np.array([int(colour[i:i + 2], 16) for i in (1, 3, 5)]) / 255
    return int((np.abs(image - wanted).max(axis=-1) < 0.02).sum())


@pytest.mark.parametrize(("history", "loss", "accuracy"), [
    (HISTORY, True, True),
    (History(HISTORY.epochs[:1]), True, True),  # a line of one point is invisible
    (History([Epoch(1, 2.0, None, 1.0, 1.0), Epoch(2, 1.0, None, 1.0, 1.0)]), True, False),
    (History([Epoch(1, 2.0, 0.5, 1.0, 1.0), Epoch(2, 2.0, 0.5, 1.0, 1.0)]), True, True),
    (History(), False, False),
], ids=["some", "one epoch", "no accuracy", "flat", "none"])
def test_curves(tmp_path: Path, history: History, loss: bool, accuracy: bool) -> None:
    draw_curves(tmp_path / "curves.png", history)
    image = picture(tmp_path / "curves.png")
    height, width, _ = image.shape
    assert height >= 300
    assert width >= 800
    left, right = image[:, :width // 2], image[:, width // 2:]
    assert (pixels(left, "#1f5fa8") > 10) is loss
    assert (pixels(right, "#d9730d") > 10) is accuracy
    assert pixels(right, "#1f5fa8") == pixels(left, "#d9730d") == 0


@pytest.mark.parametrize("images", [1, 8, 9, 24])
def test_predictions(tmp_path: Path, images: int) -> None:
    x = np.zeros((images, 28, 28), np.float32)
    x[:, 7:21, 7:21] = 1
    t = np.arange(images, dtype=np.uint8) % 10
    right = np.full((images, 10), 0.01, np.float32)
    right[np.arange(images), t] = 0.91
    draw_predictions(tmp_path / "right.png", x, t, right, tuple("0123456789"))
    draw_predictions(tmp_path / "wrong.png", x, (t + 1) % 10, right, tuple("0123456789"))
    image, wrong = picture(tmp_path / "right.png"), picture(tmp_path / "wrong.png")
    rows = -(-images // 8)
    assert image.shape[1] >= 1000
    assert image.shape[0] >= 150 * rows
    assert pixels(image, "#000000") > images * 14 * 14  # the squares
    assert pixels(image, "#c0392b") == 0
    assert pixels(wrong, "#c0392b") > 3 * images  # a title for each


def test_picture_that_cannot_be_written_leaves_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_curves(tmp_path / "curves.png", HISTORY)
    before = content(tmp_path)

    def save_half(self: Any, path: Path, **options: Any) -> NoReturn:
        path.write_bytes(b"\x89PNG")
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", save_half)
    with pytest.raises(OSError, match="No space left"):
        draw_curves(tmp_path / "curves.png", HISTORY)
    assert content(tmp_path) == before


# Without the extra


@pytest.mark.parametrize(("module", "call"), [
    ("safetensors.numpy", lambda path: save_weights(path, TwoLayerNet(5, 4, 3))),
    ("safetensors.numpy", lambda path: load_weights(path, TwoLayerNet(5, 4, 3))),
    ("matplotlib.figure", lambda path: draw_curves(path, HISTORY)),
])
def test_without_an_optional_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, call: Any
) -> None:
    library = module.partition(".")[0]
    for name in (module, library):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf"{library}, which is not installed.*xpnet\[train\]"):
        call(tmp_path / "some.file")
    assert content(tmp_path) == {}
