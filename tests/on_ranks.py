"""Running programs on several ranks, as `mpiexec` does."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
from shell import ROOT, environment

__all__ = ["MISSING", "mpiexec", "needs_ranks"]

_FOUND = shutil.which("mpiexec", path=sysconfig.get_path("scripts")) or shutil.which("mpiexec")
MISSING = ("mpi4py is not installed" if importlib.util.find_spec("mpi4py") is None
           else "there is no mpiexec" if _FOUND is None else None)
"""Why nothing can be run on several ranks here, if so."""
needs_ranks = pytest.mark.skipif(MISSING is not None, reason=f"several ranks: {MISSING}")


def mpiexec(
    ranks: int, *arguments: object, folder: Path, timeout: float = 200,
    meanwhile: Callable[[subprocess.Popen[str]], object] | None = None, gpus: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a program of Python's on so many ranks, with nothing but what comes from its own output.

    Parameters
    ----------
    ranks : int
        How many.
    *arguments : object
        The program and its arguments; after ":" those of further ranks, one each.
    folder : Path
        Where to run it.
    timeout : float
        Seconds after which to give up.
    meanwhile : callable, optional
        Called with the running process.
    gpus : str
        Which GPUs they see, as `CUDA_VISIBLE_DEVICES` has it.
    """
    command = [_FOUND or "mpiexec", "-n", str(ranks), sys.executable]
    for argument in map(str, arguments):
        command += [":", "-n", "1", sys.executable] if argument == ":" else [argument]
    settings = environment() | {"PYTHONPATH": f"{environment()['PYTHONPATH']}:{ROOT / 'tests'}",
                                "CUDA_VISIBLE_DEVICES": gpus}
    with subprocess.Popen(
        command, cwd=folder, env=settings, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True,
    ) as process:
        try:
            if meanwhile is not None:
                meanwhile(process)
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.send_signal(signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)
