"""A section in a process of its own, which may crash, hang or run out of memory without harm to the others."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "child_environment", "run_apart", "scrubbed"]

ROOT = Path(__file__).resolve().parents[2]
LINES = 40
"""Of what a process said last, which are kept if it failed."""


def child_environment(dry: bool) -> dict[str, str]:
    """Give the environment of a section: nothing that a user's settings could change of what is measured."""
    kept = {name: value for name, value in os.environ.items()
            if name not in ("CUPY_TF32", "NVIDIA_TF32_OVERRIDE", "PYTEST_ADDOPTS")}
    paths = [str(ROOT), str(ROOT / "backends"), kept.get("PYTHONPATH", "")]
    # JAX would take three quarters of the GPU's memory, where all are beside one another.
    settings = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    if dry:
        threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        settings |= {"JAX_PLATFORMS": "cpu", **threads}
        kept.pop("CUDA_VISIBLE_DEVICES", None)  # which would hide the stand-in's
    return kept | settings


def run_apart(name: str, dry: bool, limit: float, without: str = "") -> dict[str, Any]:
    """Run a section, and give its status and what it found.

    Parameters
    ----------
    name : str
        The section's.
    dry : bool
        Whether on the CPU.
    limit : float
        Seconds until it is ended.
    without : str
        A contender to leave out.

    Returns
    -------
    dict
        "status": "ran", "failed", "over its limit" or "interrupted"; "seconds"; "found", as `Found` keeps
        it, empty if there is nothing; and if it did not run to its end, "why" and "output", its last lines.
    """
    with tempfile.TemporaryDirectory() as folder:
        file, output = Path(folder) / "found.json", Path(folder) / "output.txt"
        command = [sys.executable, str(ROOT / "benchmarks" / "cuda.py"), "--section", name,
                   "--result", str(file), "--without", without, *["--dry-run"] * dry]
        start, status, why = time.monotonic(), "ran", ""
        process = None
        with output.open("w") as sink:
            try:
                # A session of its own: whatever it starts ends with it, and Ctrl-C reaches this process alone.
                process = subprocess.Popen(
                    command, cwd=ROOT, env=child_environment(dry), stdout=sink, stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL, start_new_session=True)
                code = process.wait(limit)
            except subprocess.TimeoutExpired:
                status, why = "over its limit", f"ended after {limit:.0f} s"
            except KeyboardInterrupt:
                status, why = "interrupted", "interrupted"
            else:
                if code:
                    status, why = "failed", _ended_by(code)
            finally:
                if process is not None:
                    _end(process)
        said = scrubbed(output.read_text(errors="replace")).splitlines()
        found = json.loads(file.read_text()) if file.exists() else {}
    result: dict[str, Any] = {"status": status, "seconds": round(time.monotonic() - start, 1), "found": found}
    if status == "failed":
        last = next((line for line in reversed(said) if line.strip()), "nothing was said")
        why = why or re.sub(r"^[\w.]+\.(?=\w+:)", "", last)  # the exception's name without its module's
    if status != "ran":
        stage = found.get("stage")
        result |= {"why": why + (f", at: {stage}" if stage else ""), "output": said[-LINES:]}
    return result


def scrubbed(text: str) -> str:
    """Take the folders out of a text: where things lie on a machine is nobody's concern."""
    return re.sub(r"(?<![\w.…])/(?:[\w.+@~-]+/)+", "…/", text)


def _ended_by(code: int) -> str:
    """Say by which signal a process ended; nothing if it ended by itself."""
    if code >= 0:
        return ""
    try:
        return f"ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"ended by signal {-code}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process, if it still goes, and all that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
