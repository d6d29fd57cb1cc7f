from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from folders import content, open_files

from xpnet.training.atomic import atomic_path, flush_folder


@pytest.mark.parametrize("before", [None, b"the old, and longer than the new"])
def test_atomic_path_replaces_whole(tmp_path: Path, before: bytes | None) -> None:
    path = tmp_path / "some.file"
    if before is not None:
        path.write_bytes(before)
    opened = open_files()
    with atomic_path(str(path)) as temporary:
        assert temporary.parent == tmp_path  # else renaming is copying
        assert temporary.suffix == ".file"  # that a format is chosen by
        temporary.write_bytes(b"new, ")
        assert (path.read_bytes() if path.exists() else None) == before
        with temporary.open("ab") as file:
            file.write(b"whole")
    assert content(tmp_path) == {"some.file": b"new, whole"}
    assert open_files() == opened


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
    assert done == [(tmp_path / "some.file").stat().st_ino, "renamed", tmp_path.stat().st_ino]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EBADF, errno.ENOTSUP])
def test_a_folder_that_cannot_be_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fsync(file: int) -> None:
        raise OSError(number, os.strerror(number))

    before = open_files()
    monkeypatch.setattr(os, "fsync", fsync)
    flush_folder(tmp_path)
    assert open_files() == before


def test_a_folder_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_nothing(path: Path, flags: int) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", open_nothing)
    flush_folder(tmp_path)


def test_a_disk_that_fails_as_a_folder_is_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, inode = os.fsync, tmp_path.stat().st_ino

    def failing_fsync(file: int) -> None:
        if os.fstat(file).st_ino == inode:
            raise OSError(errno.EIO, "Input/output error")
        fsync(file)

    monkeypatch.setattr(os, "fsync", failing_fsync)
    with (pytest.raises(OSError, match="Input/output error") as caught,
          atomic_path(tmp_path / "some.file") as temporary):
        temporary.write_bytes(b"new")
    assert caught.value.filename == str(tmp_path / "some.file")
    assert content(tmp_path) == {"some.file": b"new"}


@pytest.mark.parametrize("failing", ["fsync", "replace", "chmod"])
def test_atomic_path_names_the_file_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    (tmp_path / "some.file").write_bytes(b"old")

    def fail(file: object, *_: object, **__: object) -> None:
        names = [] if isinstance(file, int) else [file]
        raise OSError(errno.ENOSPC, "No space left", *names)

    monkeypatch.setattr(os, failing, fail)
    with (pytest.raises(OSError, match="No space left") as caught,
          atomic_path(tmp_path / "some.file") as temporary):
        temporary.write_bytes(b"new")
    assert caught.value.filename == str(tmp_path / "some.file")
    assert content(tmp_path) == {"some.file": b"old"}


def test_atomic_path_in_a_folder_without_permission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mkstemp(**_: object) -> tuple[int, str]:
        raise PermissionError(errno.EACCES, "Permission denied", f"{tmp_path}/.some-x.file")

    monkeypatch.setattr("tempfile.mkstemp", mkstemp)
    with (pytest.raises(PermissionError) as caught, atomic_path(tmp_path / "some.file")):
        raise AssertionError
    assert caught.value.filename == str(tmp_path / "some.file")


@pytest.mark.parametrize("error", [
    FileNotFoundError(errno.ENOENT, "No such file", "other.file"), OSError("in words"),
])
def test_atomic_path_passes_on_what_is_not_about_its_file(tmp_path: Path, error: OSError) -> None:
    with pytest.raises(OSError) as caught, atomic_path(tmp_path / "some.file"):
        raise error
    assert caught.value is error
    assert content(tmp_path) == {}


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
