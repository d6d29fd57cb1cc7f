from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from folders import content, open_files

from xpnet.training import folder_lock
from xpnet.training.folder_lock import locked_folder

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows has no fcntl")


def test_one_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with locked_folder(tmp_path):
        with pytest.raises(ValueError, match=f"{tmp_path.name}: another run"), \
                locked_folder(tmp_path):
            pass
        with locked_folder(tmp_path / "other"):
            pass
    with locked_folder(tmp_path):
        assert content(tmp_path) == {"other": None}


def test_an_error_releases_it(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), locked_folder(tmp_path):
        raise KeyboardInterrupt
    with locked_folder(tmp_path):
        pass


def test_it_leaves_no_open_file(tmp_path: Path) -> None:
    before = open_files()
    with locked_folder(tmp_path), pytest.raises(ValueError), locked_folder(tmp_path):
        pass
    assert open_files() == before


@pytest.mark.parametrize("fcntl", ["none", "unable"])
def test_a_system_that_locks_no_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fcntl: str
) -> None:
    def flock(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    if fcntl == "none":
        monkeypatch.setattr(folder_lock, "fcntl", None)
    else:
        monkeypatch.setattr("fcntl.flock", flock)
    entered = []
    with locked_folder(tmp_path), locked_folder(tmp_path):
        entered.append("both")
    assert entered == ["both"]
