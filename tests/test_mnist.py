from __future__ import annotations

import functools
import gc
import gzip
import hashlib
import itertools
import struct
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pooch
import pytest
from numpy.typing import NDArray
from variants import Variant

import xpnet.datasets
from xpnet import DatasetError, load_mnist
from xpnet.datasets import class_names
from xpnet.datasets.files import find_files
from xpnet.datasets.sources import SOURCES, Part, Source

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte",
         "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
SHIPPED = Path(xpnet.datasets.__file__).parent / "mnist_5k"
FASHION = Path("/usr/share/datasets/fashion-mnist")


def raw(path: Path) -> NDArray[Any]:
    """Read images or labels without xpnet."""
    content = gzip.decompress(path.read_bytes())
    images = "images" in path.name
    elements = np.frombuffer(content, np.uint8, offset=16 if images else 8)
    return elements.reshape(-1, 28, 28) if images else elements


def idx(elements: NDArray[Any]) -> bytes:
    shape = elements.shape
    return struct.pack(f">I{len(shape)}I", 0x0800 + len(shape), *shape) + elements.tobytes()


def packed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


@dataclass
class Fake:
    """A small data set like MNIST, of 8 and 3 images, drawn from a seed."""

    arrays: dict[str, NDArray[Any]]

    @property
    def source(self) -> Source:
        def part(name: str) -> Part:
            content = idx(self.arrays[name])
            return Part(name, self.arrays[name].ndim, hashlib.sha256(content).hexdigest(),
                        hashlib.sha256(packed(content)).hexdigest())

        return Source((part(NAMES[0]), part(NAMES[1]), part(NAMES[2]), part(NAMES[3])))

    def write(self, folder: Path, *, compressed: bool = True) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, elements in self.arrays.items():
            content = idx(elements)
            if compressed:
                (folder / f"{name}.gz").write_bytes(packed(content))
            else:
                (folder / name).write_bytes(content)
        return folder

    def check(self, found: Any) -> None:
        """See that the images and labels are these."""
        (x, t), (x_test, t_test) = found
        for array, name in zip((x, t, x_test, t_test), NAMES, strict=True):
            expected = self.arrays[name]
            np.testing.assert_array_equal(array, expected.reshape(len(expected), -1).squeeze())


def fake(seed: int) -> Fake:
    random = np.random.default_rng(seed)
    return Fake({
        name: random.integers(0, 256, (8 if "train" in name else 3, 28, 28), dtype=np.uint8)
        if "images" in name
        else random.integers(0, 10, 8 if "train" in name else 3, dtype=np.uint8)
        for name in NAMES
    })


def load(**options: Any) -> Any:
    return load_mnist(normalize=False, dataset="fake", **options)


NOBODY = "http://127.0.0.1:9/"


def offered(
    monkeypatch: pytest.MonkeyPatch, data: Fake, *, url: str | None = NOBODY, **fields: Any
) -> Source:
    """Offer the data set under the name "fake", for download where nobody answers."""
    source = Source(data.source.parts, url=url, **fields)
    monkeypatch.setitem(SOURCES, "fake", source)
    return source


def refused(*wanted: str, **options: Any) -> str:
    """See that loading fails in words, in one line."""
    __tracebackhide__ = True
    with pytest.raises(DatasetError) as caught:
        load(**options)
    message = str(caught.value)
    for part in wanted:
        assert part in message
    assert "\n" not in message
    return message


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the tests off the user's data sets; give the cache they see instead."""
    folder = tmp_path / "cache"
    monkeypatch.delenv("XPNET_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda name: folder / name)
    return folder / "xpnet"


@pytest.mark.parametrize("one_hot_label", [False, True])
@pytest.mark.parametrize("flatten", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
def test_every_combination_of_options(
    normalize: bool, flatten: bool, one_hot_label: bool
) -> None:
    train, test = load_mnist(normalize, flatten, one_hot_label)
    for (x, t), which, rows in ((train, "train", 4000), (test, "t10k", 1000)):
        images = raw(SHIPPED / f"{which}-images-idx3-ubyte.gz")
        labels = raw(SHIPPED / f"{which}-labels-idx1-ubyte.gz")
        assert x.shape == ((rows, 784) if flatten else (rows, 1, 28, 28))
        if normalize:
            assert x.dtype == np.float32
            assert x.min() == 0
            assert x.max() == 1
            expected = images.astype(np.float64).reshape(x.shape) / 255
            np.testing.assert_allclose(x, expected, rtol=2.0**-23)
        else:
            assert x.dtype == np.uint8
            np.testing.assert_array_equal(x, images.reshape(x.shape))
        if one_hot_label:
            assert t.shape == (rows, 10)
            assert t.dtype == np.float32
            np.testing.assert_array_equal(t, np.eye(10)[labels])
        else:
            assert t.dtype == np.uint8
            np.testing.assert_array_equal(t, labels)


def test_the_books_defaults() -> None:
    (x, t), _ = load_mnist()
    assert (x.shape, x.dtype, t.shape, t.dtype) == ((4000, 784), np.float32, (4000,), np.uint8)


def test_what_ships_is_mnist_with_every_digit_equally_often() -> None:
    (x, t), (x_test, t_test) = load_mnist(flatten=False)
    np.testing.assert_array_equal(np.bincount(t), [400] * 10)
    np.testing.assert_array_equal(np.bincount(t_test), [100] * 10)
    # The mean and standard deviation that everybody normalises MNIST with.
    assert float(x.mean(dtype=np.float64)) == pytest.approx(0.1307, abs=0.003)
    assert float(x.std(dtype=np.float64)) == pytest.approx(0.3081, abs=0.003)
    # No image twice, nor in both.
    assert len(np.unique(np.concatenate([x, x_test]).reshape(5000, -1), axis=0)) == 5000


def test_on_every_backend(eager: Variant) -> None:
    found = load_mnist(backend=eager.backend)
    expected = load_mnist()
    for pair, expected_pair in zip(found, expected, strict=True):
        for a, e in zip(pair, expected_pair, strict=True):
            eager.check(a, e, rtol=0)
    (x, t), _ = load_mnist(False, False, True, backend=eager.backend)
    (x_expected, t_expected), _ = load_mnist(False, False, True)
    eager.check(x, x_expected, dtype="uint8", rtol=0)
    eager.check(t, t_expected, dtype="float32", rtol=0)


def test_backend_by_name() -> None:
    (x, _), _ = load_mnist(backend="numpy")
    assert isinstance(x, np.ndarray)


def test_class_names() -> None:
    assert class_names("mnist-5k") == class_names("mnist") == tuple("0123456789")
    assert len(class_names("fashion-mnist")) == 10
    assert class_names("fashion-mnist")[9] == "Ankle boot"


@pytest.mark.parametrize("call", [class_names, lambda name: load_mnist(dataset=name)])
def test_unknown_name(call: Any) -> None:
    with pytest.raises(DatasetError, match=r"'cifar'.*mnist-5k, mnist, fashion-mnist"):
        call("cifar")


# Where the files are


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("below", [False, True], ids=["flat", "folder"])
def test_layouts_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: bool, compressed: bool
) -> None:
    data = fake(0)
    offered(monkeypatch, data)
    data.write(tmp_path / "data" / "fake" if below else tmp_path / "data", compressed=compressed)
    data.check(load(data_dir=tmp_path / "data"))
    data.check(load(data_dir=str(tmp_path / "data")))
    monkeypatch.setenv("XPNET_DATA", str(tmp_path / "data"))
    data.check(load())


def test_plain_and_compressed_may_be_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = fake(0)
    offered(monkeypatch, data)
    folder = data.write(tmp_path / "data")
    (folder / NAMES[2]).write_bytes(idx(data.arrays[NAMES[2]]))
    (folder / f"{NAMES[2]}.gz").unlink()
    data.check(load(data_dir=folder))


def test_order_of_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    data = fake(0)
    system = tmp_path / "system"
    source = offered(monkeypatch, data, folders=(tmp_path / "nosuch", system))
    monkeypatch.setenv("XPNET_DATA", str(tmp_path / "named"))
    asked = data.write(tmp_path / "asked")
    by_order = [data.write(folder) for folder in (tmp_path / "named", cache / "fake", system)]
    assert find_files("fake", source, asked) == [asked / f"{name}.gz" for name in NAMES]
    for folder in by_order:
        assert find_files("fake", source, None) == [folder / f"{name}.gz" for name in NAMES]
        for path in folder.iterdir():
            path.unlink()


def test_a_folder_that_is_asked_for_is_the_only_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = fake(0)
    offered(monkeypatch, data, folders=(data.write(tmp_path / "system"),))
    monkeypatch.setenv("XPNET_DATA", str(tmp_path / "system"))
    for folder in (tmp_path / "nosuch", tmp_path / "cache"):
        refused(str(folder), "no fake here", NAMES[0], str(folder / "fake"), data_dir=folder)


@pytest.mark.parametrize("missing", [
    missing for n in (1, 2, 3) for missing in itertools.combinations(NAMES, n)
], ids=lambda missing: "+".join(str(NAMES.index(name)) for name in missing))
def test_incomplete_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...]
) -> None:
    data = fake(0)
    whole = data.write(tmp_path / "whole")
    offered(monkeypatch, data, folders=(whole,))
    folder = data.write(tmp_path / "data")
    for name in missing:
        (folder / f"{name}.gz").unlink()
    message = refused(str(folder), "missing", *missing, data_dir=folder)
    assert not [name for name in NAMES if name in message and name not in missing]
    monkeypatch.setenv("XPNET_DATA", str(folder))  # an error, though it is whole elsewhere
    refused(str(folder), "missing", *missing)


def test_what_ships_needs_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # "mnist" in XPNET_DATA, flat, has files of the same names.
    monkeypatch.setenv("XPNET_DATA", str(fake(0).write(tmp_path / "data")))
    assert load_mnist()[0][0].shape == (4000, 784)


# What is in the files


def test_files_of_another_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offered(monkeypatch, fake(0))
    folder = fake(1).write(tmp_path / "data")
    refused(str(folder / f"{NAMES[0]}.gz"), "not the published", "SHA-256", data_dir=folder)


@pytest.mark.parametrize("name", NAMES)
def test_one_flipped_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    data = fake(0)
    offered(monkeypatch, data)
    folder = data.write(tmp_path / "data", compressed=False)
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    refused(str(folder / name), f"not the published {name}", "SHA-256", data_dir=folder)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gz"])
def test_truncated_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, compressed: bool
) -> None:
    data = fake(0)
    offered(monkeypatch, data)
    folder = data.write(tmp_path / "data", compressed=compressed)
    path = folder / (f"{name}.gz" if compressed else name)
    path.write_bytes(path.read_bytes()[:-1])
    refused(str(path), "truncated", data_dir=folder)


@pytest.mark.parametrize("which", ["train", "t10k"])
def test_images_and_labels_swapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    data = fake(0)
    offered(monkeypatch, data)
    folder = data.write(tmp_path / "data")
    images, labels = (folder / f"{which}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1"))
    images.rename(tmp_path / "aside")
    labels.rename(images)
    (tmp_path / "aside").rename(labels)
    refused(str(images), "labels (1 dimension) where images (3 dimensions)", data_dir=folder)
    images.write_bytes(packed(idx(data.arrays[images.stem])))
    refused(str(labels), "images (3 dimensions) where labels (1 dimension)", data_dir=folder)


def test_training_and_test_files_swapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = fake(0)
    offered(monkeypatch, data)
    folder = data.write(tmp_path / "data")
    (folder / f"{NAMES[3]}.gz").replace(folder / f"{NAMES[1]}.gz")
    (folder / f"{NAMES[3]}.gz").write_bytes(packed(idx(data.arrays[NAMES[1]])))
    refused(str(folder / f"{NAMES[1]}.gz"), "SHA-256", data_dir=folder)


# Downloads


# pooch 1.9 does not close the connection on which it was refused a file.
LEFT_OPEN = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@dataclass
class Server:
    """A web server on this machine, with what it was asked for."""

    url: str
    folder: Path
    asked: list[str]


class Handler(SimpleHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    folder = tmp_path / "server"
    folder.mkdir()
    asked: list[str] = []
    handler = type("Recorder", (Handler,), {"asked": asked})
    http = ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Server(f"http://127.0.0.1:{http.server_port}/", folder, asked)
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
        gc.collect()  # here, where what pooch leaves open is known


def in_cache(cache: Path) -> list[str]:
    return sorted(str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file())


def test_download_once(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    data = fake(0)
    data.write(server.folder)
    offered(monkeypatch, data, url=server.url)
    data.check(load())
    assert server.asked == [f"/{name}.gz" for name in NAMES]
    assert in_cache(cache) == sorted(f"fake/{name}.gz" for name in NAMES)
    data.check(load())
    assert len(server.asked) == 4
    assert capfd.readouterr() == ("", "")


@LEFT_OPEN
def test_downloaded_file_with_another_hash(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(1).write(server.folder)
    offered(monkeypatch, fake(0), url=server.url)
    refused("fake", server.url, "does not match", "--data-dir", "XPNET_DATA")
    assert in_cache(cache) == []


@LEFT_OPEN
def test_download_of_a_file_that_is_not_there(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered(monkeypatch, fake(0), url=server.url)
    refused("fake", server.url, "404", "--data-dir", "XPNET_DATA")
    assert in_cache(cache) == []


@LEFT_OPEN
def test_download_that_broke_off_is_taken_up_again(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = fake(0)
    data.write(server.folder)
    offered(monkeypatch, data, url=server.url)
    (server.folder / f"{NAMES[2]}.gz").rename(server.folder / "aside")
    refused(server.url, "--data-dir")
    assert in_cache(cache) == sorted(f"fake/{name}.gz" for name in NAMES[:2])
    (server.folder / "aside").rename(server.folder / f"{NAMES[2]}.gz")
    server.asked.clear()
    data.check(load())
    assert server.asked == [f"/{name}.gz" for name in NAMES[2:]]


def test_no_connection(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as closed:
        url = f"http://127.0.0.1:{closed.server_port}/"
    offered(monkeypatch, fake(0), url=url)
    refused("fake is not on this machine", url, "refused", "--data-dir", "XPNET_DATA")
    assert in_cache(cache) == []


def test_without_pooch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    data = fake(0)
    offered(monkeypatch, data)
    with pytest.raises(ImportError, match=r'pooch.*not installed.*xpnet\[train\]') as caught:
        load()
    assert "fake" in str(caught.value)
    data.check(load(data_dir=data.write(tmp_path / "data")))
    offered(monkeypatch, data, folders=(tmp_path / "data",))
    data.check(load())
    assert load_mnist()[0][0].shape == (4000, 784)


def test_broken_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offered(monkeypatch, fake(0), url=None, folders=(tmp_path / "mnist_5k",))
    refused("fake", str(tmp_path / "mnist_5k"), "installation is broken")


@pytest.mark.skipif(not (FASHION / f"{NAMES[0]}.gz").is_file(),
                    reason=f"Debian's dataset-fashion-mnist is not installed in {FASHION}")
def test_fashion_mnist() -> None:
    (x, t), (x_test, t_test) = load_mnist(dataset="fashion-mnist")
    assert (x.shape, x_test.shape) == ((60000, 784), (10000, 784))
    np.testing.assert_array_equal(np.bincount(t), [6000] * 10)
    np.testing.assert_array_equal(np.bincount(t_test), [1000] * 10)
    np.testing.assert_array_equal(t[:10], [9, 0, 0, 3, 0, 2, 7, 2, 5, 5])
    np.testing.assert_array_equal(t_test[:10], [9, 2, 1, 1, 6, 1, 4, 6, 5, 7])
    # The mean and standard deviation that everybody normalises it with.
    assert float(x.mean(dtype=np.float64)) == pytest.approx(0.2860, abs=5e-5)
    assert float(x.std(dtype=np.float64)) == pytest.approx(0.3530, abs=5e-5)
