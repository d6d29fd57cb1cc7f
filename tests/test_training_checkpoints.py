from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folders import content
from variants import Variant, make, missing

from xpnet.training import BrokenFileError, Checkpoints

ROOT = Path(__file__).parent.parent


def arrays(step: float = 0, dtype: str = "float64") -> dict[str, Any]:
    return {"params": {"W1": np.full((5, 4), step, dtype), "b1": np.full(4, -step, dtype)},
            "optimizer": {"v": {"W1": np.full((5, 4), 0.1 * step, dtype)}},
            "counter": np.asarray(step, np.int32), "state": {}}


def write(folder: Path, *steps: int, keep: int = 10) -> list[Path]:
    with Checkpoints(folder, keep=keep) as checkpoints:
        return [checkpoints.save(arrays(step), {"step": step}, step) for step in steps]


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def assert_equal(found: Any, expected: Any) -> None:
    assert found.keys() == expected.keys()
    for name, a in expected.items():
        if isinstance(a, dict):
            assert_equal(found[name], a)
        else:
            assert found[name].dtype == a.dtype
            np.testing.assert_array_equal(found[name], a)


def test_the_newest_is_loaded(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "first"
    paths = write(folder, 5, 100_000_000, 30, 2)
    assert [p.name for p in paths] == [
        "step-00000005.safetensors", "step-100000000.safetensors", "step-00000030.safetensors",
        "step-00000002.safetensors",
    ]
    checkpoints = Checkpoints(str(folder))
    found, about, path = checkpoints.load(arrays())
    assert_equal(found, arrays(100_000_000))
    assert about == {"step": 100_000_000}
    assert path == paths[1] == checkpoints.newest()
    assert checkpoints.broken == []
    found["params"]["W1"] += 1  # it can be trained on


def test_the_last_ones_are_kept(tmp_path: Path) -> None:
    write(tmp_path, 1, 2, 3, 4, 5, keep=3)
    assert names(tmp_path) == [f"step-0000000{k}.safetensors" for k in (3, 4, 5)]
    write(tmp_path, 6, keep=1)
    assert names(tmp_path) == ["step-00000006.safetensors"]
    write(tmp_path, 6, 6, keep=1)
    assert names(tmp_path) == ["step-00000006.safetensors"]


def test_broken_ones_of_later_steps_are_the_first_to_go(tmp_path: Path) -> None:
    write(tmp_path, 1, 2, 9, 10)
    write(tmp_path, 3, keep=4)
    assert names(tmp_path) == [f"step-0000000{k}.safetensors" for k in (1, 2, 3)] + [
        "step-00000010.safetensors"]
    write(tmp_path, 4, keep=2)
    assert names(tmp_path) == [f"step-0000000{k}.safetensors" for k in (3, 4)]


def test_old_ones_are_removed_only_when_the_new_one_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 1, 2)
    before = content(tmp_path)

    def fsync(file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Checkpoints(tmp_path, seconds=0, keep=1) as checkpoints:
        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(OSError, match="No space left") as caught:
            checkpoints.save(arrays(3), {}, 3)
    assert caught.value.filename == str(tmp_path / "step-00000003.safetensors")
    assert content(tmp_path) == before
    assert Checkpoints(tmp_path).load(arrays())[1] == {"step": 2}


def test_a_disk_that_is_full_half_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 1)
    before = content(tmp_path)

    def write_half(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with Checkpoints(tmp_path, keep=1) as checkpoints:
        monkeypatch.setattr(Path, "write_bytes", write_half)
        with pytest.raises(OSError, match=r"No space left.*step-00000002\.safetensors"):
            checkpoints.save(arrays(2), {}, 2)
    assert content(tmp_path) == before


def test_when_one_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    checkpoints = Checkpoints(tmp_path, seconds=30)
    assert not checkpoints.due()
    now = 200.0
    with checkpoints:
        seen = []
        for now in (200.0, 229.0, 230.0, 231.0):  # noqa: B007 - read by the clock
            seen.append(checkpoints.due())
        assert seen == [False, False, True, True]
        checkpoints.save(arrays(), {}, 1)
        seen = []
        for now in (231.0, 260.0, 261.0):  # noqa: B007 - read by the clock
            seen.append(checkpoints.due())
        assert seen == [False, False, True]
    with Checkpoints(tmp_path, seconds=0) as always:
        assert always.due()


@pytest.mark.parametrize(("options", "words"), [
    ({"seconds": -1}, "seconds of 0 or more; got -1"), ({"seconds": float("nan")}, "got nan"),
    ({"seconds": float("inf")}, "got inf"), ({"keep": 0}, "keep .* above 0; got 0"),
    ({"keep": 2.0}, r"keep .* whole number above 0; got 2\.0"),
])
def test_settings_that_make_no_sense(tmp_path: Path, options: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Checkpoints(tmp_path, **options)


def test_saving_outside_a_block(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "new")
    with pytest.raises(RuntimeError, match="with checkpoints"):
        checkpoints.save(arrays(), {}, 1)
    with checkpoints:
        pass
    with pytest.raises(RuntimeError, match="with checkpoints"):
        checkpoints.save(arrays(), {}, 1)
    assert content(tmp_path) == {"new": None}


def test_no_checkpoint_there(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"")
    (tmp_path / "step-1.safetensors").write_bytes(b"")
    for folder in (tmp_path, tmp_path / "nosuch"):
        checkpoints = Checkpoints(folder)
        assert checkpoints.newest() is None
        with pytest.raises(ValueError, match=rf"{folder.name}: no checkpoint there"):
            checkpoints.load(arrays())
    assert not (tmp_path / "nosuch").exists()


def damage(path: Path, how: str) -> None:
    whole = path.read_bytes()
    if how == "truncated":
        path.write_bytes(whole[:-100])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "flipped":
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    else:
        path.unlink()
        path.mkdir()


@pytest.mark.parametrize("how", ["truncated", "empty", "flipped", "a folder"])
def test_a_broken_one_is_passed_over(tmp_path: Path, how: str) -> None:
    paths = write(tmp_path, 1, 2, 3, 4)
    damage(paths[3], how)
    damage(paths[2], how)
    checkpoints = Checkpoints(tmp_path)
    found, about, path = checkpoints.load(arrays())
    assert (about, path) == ({"step": 2}, paths[1])
    assert_equal(found, arrays(2))
    assert len(checkpoints.broken) == 2
    for words, broken in zip(checkpoints.broken, paths[:1:-1], strict=True):
        assert str(broken) in words
        assert "\n" not in words
    damage(paths[1], how)
    damage(paths[0], how)
    with pytest.raises((BrokenFileError, OSError)) as caught:
        checkpoints.load(arrays())
    for broken in paths:
        assert str(broken) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_run_goes_on_from_before_a_broken_one(tmp_path: Path) -> None:
    paths = write(tmp_path, 1, 2, 3, 4)
    for path in paths[2:]:
        damage(path, "truncated")
    with Checkpoints(tmp_path, keep=3) as checkpoints:
        assert checkpoints.load(arrays())[1] == {"step": 2}
        checkpoints.save(arrays(3), {"step": "3, again"}, 3)
        assert names(tmp_path) == [f"step-0000000{k}.safetensors" for k in (1, 2, 3)]
        assert checkpoints.load(arrays())[1] == {"step": "3, again"}
        assert checkpoints.broken == []


def test_one_that_cannot_be_read_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write(tmp_path, 1, 2)
    read = Path.read_bytes

    def fail(self: Path) -> bytes:
        if self == paths[1]:
            raise OSError(errno.EIO, "Input/output error")
        return read(self)

    monkeypatch.setattr(Path, "read_bytes", fail)
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.load(arrays())[1] == {"step": 1}
    assert checkpoints.broken == [f"[Errno 5] Input/output error: '{paths[1]}'"]


OTHER = {
    "a layer more": ({**arrays(), "params": {**arrays()["params"], "W2": np.zeros((4, 3))}},
                     r'"params/W2" of shape \(4, 3\) and dtype float64 wanted; there is none'),
    "a layer less": ({**arrays(), "params": {"W1": np.zeros((5, 4))}},
                     r'"params/b1" is not wanted'),
    "wider": ({**arrays(), "params": {"W1": np.zeros((5, 6)), "b1": np.zeros(6)}},
              r'"params/W1" of shape \(5, 6\) .* got \(5, 4\)'),
    "another optimizer": ({**arrays(), "optimizer": {}}, r'"optimizer/v/W1" is not wanted'),
    "another dtype": (arrays(dtype="float32"), r'"params/W1" .* float32 wanted; got .* float64'),
}


@pytest.mark.parametrize("other", OTHER)
def test_those_of_another_run_are_refused(tmp_path: Path, other: str) -> None:
    like, words = OTHER[other]
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(like, {}, 1)  # the older would fit
        checkpoints.save(arrays(), {}, 2)
        with pytest.raises(ValueError, match=rf"step-00000002\.safetensors: .*another.*{words}"):
            checkpoints.load(like)


@pytest.mark.parametrize("saved", ["torch", "jax", "strict"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_from_one_library_to_another(
    eager: Variant, tmp_path: Path, saved: str, dtype: str
) -> None:
    if reason := missing(saved):
        pytest.skip(reason)

    def on(xp: Variant, a: Any) -> Any:
        return {k: on(xp, b) for k, b in a.items()} if isinstance(a, dict) else xp.asarray(a)

    def check(found: Any, expected: Any) -> None:
        assert found.keys() == expected.keys()
        for name, a in expected.items():
            if isinstance(a, dict):
                check(found[name], a)
            else:
                eager.check(found[name], a, dtype=str(a.dtype), rtol=0)

    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(on(make(saved), arrays(1 / 3, dtype)), {}, 1)
        check(checkpoints.load(on(eager, arrays(0, dtype)))[0], arrays(1 / 3, dtype))


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as first:
        (tmp_path / ".step-00000001-x.safetensors").write_bytes(b"being written")
        with pytest.raises(ValueError, match=f"{tmp_path.name}: another run"), \
                Checkpoints(tmp_path):
            pass
        assert names(tmp_path) == [".step-00000001-x.safetensors"]
        first.save(arrays(), {}, 1)
        assert Checkpoints(tmp_path).load(arrays())[1] == {}  # who only reads is welcome
    with first:
        first.save(arrays(), {}, 2)


def test_what_a_killed_run_was_writing_is_removed_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path, 1)
    for name in (".step-00000002-ab3_x.safetensors", ".hidden", "notes.txt"):
        (tmp_path / name).write_bytes(b"half")
    with Checkpoints(tmp_path):
        pass
    assert names(tmp_path) == [".hidden", "notes.txt", "step-00000001.safetensors"]


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "run").write_bytes(b"")
    for folder in (tmp_path / "run", tmp_path / "run" / "checkpoints"):
        with pytest.raises((FileExistsError, NotADirectoryError), match="run"), Checkpoints(folder):
            pass
    with pytest.raises(NotADirectoryError, match="run"):
        Checkpoints(tmp_path / "run").load(arrays())


def test_a_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Any, *_: Any, **__: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    for name in ("mkdir", "listdir"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, refuse)
            with pytest.raises(PermissionError, match="run"), \
                    Checkpoints(tmp_path / "run") as checkpoints:
                checkpoints.newest()
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "TemporaryFile", lambda dir: refuse(f"{dir}/x"))  # noqa: A006
        checkpoints = Checkpoints(tmp_path / "run")
        with pytest.raises(PermissionError) as caught, checkpoints:
            pass  # and it holds no lock
    assert caught.value.filename == str(tmp_path / "run")
    with checkpoints:
        pass


def test_a_new_folder_is_flushed_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[Path] = []
    monkeypatch.setattr("xpnet.training.checkpoints.flush_folder", flushed.append)
    with Checkpoints(tmp_path / "a" / "b"):
        pass
    assert set(flushed) == {tmp_path, tmp_path / "a"}


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has fork and kill -9")
def test_runs_killed_while_they_write(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/killed_writer.py"), str(tmp_path / "run"), "20"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'backends'}"},
    )
    assert done.stderr == ""
    rows = [line.split() for line in done.stdout.splitlines()]
    steps = [int(row[0]) for row in rows]
    assert len(rows) == 20
    assert {row[1] for row in rows} == {"True"}
    assert all(a < b for a, b in pairwise(steps))  # each run went on
    assert all(int(row[2]) <= 4 for row in rows)  # a kill may come before the oldest is removed
    assert sum(int(row[3]) for row in rows) > 0  # some were killed while they wrote
    assert {row[4] for row in rows} == {"0"}
