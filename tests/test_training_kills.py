"""Runs that are killed with signal 9 end as if nobody had killed them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from shell import ROOT, environment
from variants import params

KILLS = int(os.environ.get("XPNET_KILLS", "4"))
"""How many; fifty, to be sure."""


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has fork and kill -9")
@pytest.mark.parametrize("library", params("numpy", "torch"))
def test_killed_at_random_moments(library: str, tmp_path: Path) -> None:
    surroundings = environment()
    surroundings["PYTHONPATH"] += os.pathsep + str(ROOT / "tests")
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/killed_training.py"), str(tmp_path), str(KILLS), library,
         str(KILLS)], capture_output=True, text=True, check=False, env=surroundings,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    ended = [line[2] for line in lines if line[0] == "ended"]
    killed = [line for line in lines if line[0] == "killed"]
    assert len(killed) >= KILLS
    assert ended == ["True"] * len(ended)
    assert ended
    if KILLS >= 50:  # some were killed while they wrote
        assert sum(int(line[2]) for line in killed) > 0
