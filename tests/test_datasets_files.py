from __future__ import annotations

import gc
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_mnist import NAMES, Fake, fake, idx, load, offered, packed, refused
from web_server import Server, serve, url_of_nobody

from xpnet import load_mnist
from xpnet.datasets.files import find_files

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Offer a data set under the name "fake", for download where nobody answers."""
    data = fake(0)
    offered(monkeypatch, data)
    return data


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("below", [False, True], ids=["flat", "folder"])
def test_layouts_of_a_folder(
    tmp_path: Path, data: Fake, monkeypatch: pytest.MonkeyPatch, below: bool, compressed: bool
) -> None:
    data.write(tmp_path / "data" / "fake" if below else tmp_path / "data", compressed=compressed)
    data.check(load(data_dir=tmp_path / "data"))
    data.check(load(data_dir=str(tmp_path / "data")))
    monkeypatch.setenv("XPNET_DATA", str(tmp_path / "data"))
    data.check(load())


def test_plain_and_compressed_may_be_mixed(tmp_path: Path, data: Fake) -> None:
    folder = data.write(tmp_path / "data")
    (folder / NAMES[2]).write_bytes(idx(data.arrays[NAMES[2]]))
    (folder / f"{NAMES[2]}.gz").unlink()
    data.check(load(data_dir=folder))


def test_order_of_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
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


def test_files_of_another_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offered(monkeypatch, fake(0))
    folder = fake(1).write(tmp_path / "data")
    refused(str(folder / f"{NAMES[0]}.gz"), "not the published", "SHA-256", data_dir=folder)


@pytest.mark.parametrize("name", NAMES)
def test_one_flipped_bit(tmp_path: Path, data: Fake, name: str) -> None:
    folder = data.write(tmp_path / "data", compressed=False)
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    refused(str(folder / name), f"not the published {name}", "SHA-256", data_dir=folder)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gz"])
def test_truncated_file(tmp_path: Path, data: Fake, name: str, compressed: bool) -> None:
    folder = data.write(tmp_path / "data", compressed=compressed)
    path = folder / (f"{name}.gz" if compressed else name)
    path.write_bytes(path.read_bytes()[:-1])
    refused(str(path), "truncated", data_dir=folder)


@pytest.mark.parametrize("which", ["train", "t10k"])
def test_images_and_labels_swapped(tmp_path: Path, data: Fake, which: str) -> None:
    folder = data.write(tmp_path / "data")
    images, labels = (folder / f"{which}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1"))
    images.rename(tmp_path / "aside")
    labels.rename(images)
    (tmp_path / "aside").rename(labels)
    refused(str(images), "labels (1 dimension) where images (3 dimensions)", data_dir=folder)
    images.write_bytes(packed(idx(data.arrays[images.stem])))
    refused(str(labels), "images (3 dimensions) where labels (1 dimension)", data_dir=folder)


def test_training_and_test_files_swapped(tmp_path: Path, data: Fake) -> None:
    folder = data.write(tmp_path / "data")
    (folder / f"{NAMES[3]}.gz").replace(folder / f"{NAMES[1]}.gz")
    (folder / f"{NAMES[3]}.gz").write_bytes(packed(idx(data.arrays[NAMES[1]])))
    refused(str(folder / f"{NAMES[1]}.gz"), "SHA-256", data_dir=folder)


# pooch 1.9 does not close the connection on which it was refused a file.
LEFT_OPEN = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    (tmp_path / "server").mkdir()
    with serve(tmp_path / "server") as server:
        yield server
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
    url = url_of_nobody()
    offered(monkeypatch, fake(0), url=url)
    refused("fake is not on this machine", url, "refused", "--data-dir", "XPNET_DATA")
    assert in_cache(cache) == []


def test_without_pooch(tmp_path: Path, data: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
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
