"""The options of the scripts, and processes with a number of threads.

Libraries look at the environment when they are imported: so each number of threads is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import machine

__all__ = ["compare", "environment", "options_of", "result_of", "threads_of"]

VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "NPROC")
"""The last one is JAX's."""


def options_of(about: str, quick: str) -> argparse.ArgumentParser:
    """Give a parser of what the scripts have in common."""
    parser = argparse.ArgumentParser(description=about.partition("\n")[0])
    parser.add_argument("--threads", type=int, nargs="+", metavar="N", choices=range(1, 65),
                        default=[1, 2] if (os.cpu_count() or 1) > 1 else [1],
                        help="threads of each library, one run for each number (default: 1 2)")
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--check", action="store_true",
                        help="only see, on tiny networks, that all compute the same")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the tables there, too")
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)  # of a process with these threads
    return parser


def compare(
    script: str, options: argparse.Namespace, run: Callable[[int, bool], dict[str, Any]],
    tables: Callable[[dict[str, Any]], Iterable[tuple[str, str]]],
) -> None:
    """Measure with each number of threads, in a process of its own, and print tables.

    Parameters
    ----------
    script : str
        The file's name.
    options : argparse.Namespace
        Of `options_of`.
    run : callable
        Measures in such a process, with so many threads and quickly or not: gives what JSON can hold, and
        by "missing" who is left out.
    tables : callable
        Makes titles and tables of that.
    """
    if options.result:
        options.result.write_text(json.dumps(run(options.threads[0], options.quick)))
        return
    parts, missing = [machine()], []
    for threads in options.threads:
        found = result_of(script, threads, ["--threads", threads, *["--quick"] * options.quick])
        missing = found["missing"]
        parts += [f"{title}, {threads_of(threads)}:\n\n{text}" for title, text in tables(found)]
    if missing:
        parts.insert(1, f"Left out: {'; '.join(missing)}.")
    text = "\n\n".join(parts)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


def threads_of(threads: int) -> str:
    """Say how many threads."""
    return f"{threads} thread{'s' * (threads > 1)}"


def environment(threads: int) -> dict[str, str]:
    """Give this process's environment, but with so many threads for every library, and on the CPU."""
    limits = dict.fromkeys(VARIABLES, str(threads))
    if threads == 1:
        limits["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    return dict(os.environ) | limits | {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}


def result_of(script: str, threads: int, arguments: Sequence[object]) -> Any:
    """Run a script of this folder in a process of its own, and give what it left as JSON.

    It is called with `--result FILE` behind the arguments. Its messages go where this process's go.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "result.json"
        command = [sys.executable, Path(__file__).parent / script, *arguments, "--result", file]
        done = subprocess.run(list(map(str, command)), env=environment(threads), check=False)
        if done.returncode:
            raise SystemExit(done.returncode)
        return json.loads(file.read_text())
