#!/usr/bin/env python3
"""Count the processor's instructions in a step of training, which a busy machine does not change.

xpnet on NumPy with Numba, as `fit` trains; by valgrind, in two runs, one of which takes more steps. What is beyond
the recorded figures by more than a tenth is a regression; it wants the same releases of Python and NumPy.
"""

from __future__ import annotations

import argparse
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.peers.xpnet_peers import Xpnet
from benchmarks.processes import environment
from benchmarks.work import SMALL, TINY, Work

WORKS = {"overhead": TINY[0], "overhead, Adam": TINY[1], "small step": replace(SMALL, rows=1000)}
"""All on few rows. In the tiny networks next to nothing is computed: what is left is the overhead."""
RECORDED = {"overhead": 195_000, "overhead, Adam": 348_000, "small step": 2_995_000}
RECORDED_WITH = "Python 3.11.7, NumPy 2.4.6, Numba 0.68.1"
MARGIN = 0.1
STEPS = 50
WARM = 10
"""Steps of both runs, in which what is made once is made."""

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("--steps", type=int, nargs=len(WORKS), help=argparse.SUPPRESS)


def train(work: Work, steps: int) -> None:
    """Take some steps in this process."""
    peer = Xpnet(work, "numpy")
    peer.train(peer.place(work.batches(0, steps)))


def counted(folder: str, more: str | None = None) -> int:
    """Count the instructions of a process that takes steps of all works, and of one of them more."""
    valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={Path(folder) / 'out'}"]
    messages = run(folder, valgrind, more)
    found = re.search(r"Collected : (\d+)", messages)
    if found is None:
        raise SystemExit(f"instructions.py: valgrind failed: {messages[-2000:]}")
    return int(found[1])


def run(folder: str, under: Sequence[str] = (), more: str | None = None) -> str:
    """Take the steps in a process, and give its messages."""
    steps = [str(WARM + STEPS * (name == more)) for name in WORKS]
    # Instructions that valgrind knows, on every processor the same.
    limits = {"OPENBLAS_CORETYPE": "Haswell", "NUMBA_CPU_NAME": "haswell",
              "NUMBA_CPU_FEATURES": "+avx2,+fma", "NUMBA_CACHE_DIR": folder,
              "NPY_DISABLE_CPU_FEATURES": disabled(), "PYTHONHASHSEED": "0"}
    done = subprocess.run([*under, sys.executable, __file__, "--steps", *steps], env=environment(1) | limits,
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"instructions.py: {done.stderr[-2000:]}")
    return done.stderr


def disabled() -> str:
    """Name what NumPy finds in this processor beyond AVX2."""
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    return " ".join(name for name in found if name.startswith(("AVX512", "X86_V4")))


def main() -> None:
    """Count, compare, print."""
    options = parser.parse_args()
    if options.steps:
        for work, steps in zip(WORKS.values(), options.steps, strict=True):
            train(work, steps)
        return
    if shutil.which("valgrind") is None:
        print("instructions.py: this wants valgrind (apt-get install valgrind)", file=sys.stderr)
        raise SystemExit(2)
    print(f"Python {platform.python_version()}, NumPy {np.__version__}; recorded with {RECORDED_WITH}")
    worse = []
    with tempfile.TemporaryDirectory() as folder:
        run(folder)  # compiles Numba's loops, which the others find there
        base = counted(folder)
        for name, recorded in RECORDED.items():
            each = (counted(folder, name) - base) / STEPS
            print(f"{name:16}{each:12,.0f} instructions a step, {each / recorded - 1:+.1%} of {recorded:,}")
            if each > recorded * (1 + MARGIN):
                worse.append(name)
    if worse:
        raise SystemExit(f"more than {MARGIN:.0%} above what is recorded: {', '.join(worse)}")


if __name__ == "__main__":
    main()
