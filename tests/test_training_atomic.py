from __future__ import annotations

import os
from pathlib import Path

import pytest
from folders import content

from xpnet.training.atomic import atomic_path


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
    assert content(tmp_path) == {"folder": None}


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
