"""Running the scripts as one does in a shell: in a folder of their own, with nobody's settings."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from folders import content

import xpnet.datasets

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "scripts"
SHIPPED = Path(xpnet.datasets.__file__).parent / "mnist_5k"
RESULTS = ["curves.png", "history.csv", "predictions.png", "weights.safetensors"]
LIBRARIES = ("numpy", "strict", "torch", "jax", "cupy")
# Two scripts at a time that use all cores each wait for one another, ten times as long.
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}


def environment(gpu: bool = False) -> dict[str, str]:
    """Give the environment of a script: this checkout's xpnet, no data sets, no GPU if not asked."""
    paths = [str(ROOT), str(ROOT / "backends"), os.environ.get("PYTHONPATH", "")]
    # Name by name: pytest sets and deletes one meanwhile, where a test starts scripts from a thread.
    kept = {name: value for name in list(os.environ)
            if name != "XPNET_DATA" and (value := os.environ.get(name)) is not None}
    hidden = {} if gpu else {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    return kept | hidden | ONE_THREAD | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


@dataclass
class Shell:
    """Runs the scripts in a folder of their own."""

    folder: Path

    def python(
        self, *arguments: object, gpu: bool = False
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *map(str, arguments)], cwd=self.folder, env=environment(gpu),
            capture_output=True, text=True, timeout=200, check=False,
        )

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """See that what is done takes less time than that."""
        start = time.monotonic()
        yield
        assert time.monotonic() - start < seconds

    def train(self, *options: object, gpu: bool = False) -> subprocess.CompletedProcess[str]:
        return self.python(SCRIPTS / "train.py", *options, gpu=gpu)

    def gradient_check(
        self, *options: object, gpu: bool = False
    ) -> subprocess.CompletedProcess[str]:
        return self.python(SCRIPTS / "gradient_check.py", *options, gpu=gpu)

    def runner(self, prelude: str, script: str, name: str = "runner") -> Path:
        """Write a program, beside the folder, that runs a prelude and then a script."""
        path = self.folder.parent / f"{name}.py"
        path.write_text("\n".join((
            "import runpy, sys", f"sys.path.insert(0, {str(SCRIPTS)!r})", prelude,
            f"sys.argv[0] = {str(SCRIPTS / script)!r}",
            "runpy.run_path(sys.argv[0], run_name='__main__')",
        )))
        return path


def refused(shell: Shell, command: str, *wanted: str, prelude: str = "") -> str:
    """See that a script refuses in one line, with status 2, and leaves everything as it was.

    The command is a script's name and its options; a prelude is run before it, in its interpreter.
    """
    __tracebackhide__ = True
    script, *options = command.split()
    before = content(shell.folder)
    done = shell.python(shell.runner(prelude, script) if prelude else SCRIPTS / script, *options)
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith(f"{script}: "), done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 2, done
    assert done.stdout == "", done.stdout
    for part in wanted:
        assert part in done.stderr, f"{part!r} is not in {done.stderr!r}"
    assert content(shell.folder) == before, f"{sorted(content(shell.folder))} in the folder"
    return done.stderr
