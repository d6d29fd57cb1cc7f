"""On what, and with what, is measured."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import platform
import subprocess
from typing import Any

from benchmarks.cuda_sections.process import ROOT

__all__ = ["commit", "lacking", "probe", "versions"]

PACKAGES = ("numpy", "scipy", "array-api-compat", "array-api-extra", "array-api-strict", "nvmath-python",
            "cuda-bindings", "cuda-core", "cuda-pathfinder", "torch", "triton", "jax", "jaxlib", "pytest",
            "safetensors", "tqdm", "threadpoolctl", "numba")
NEEDED = {"array_api_compat": "array-api-compat"}
"""What xpnet itself cannot do without, and the packages that bring it."""
OF_SECTION = {"suite": {"pytest": "pytest", "array_api_extra": "array-api-extra"},
              "memory": {"safetensors": "safetensors"}}
OF_DRY_RUN = {"array_api_strict": "array-api-strict", "nvmath": "nvmath-python"}


def lacking(sections: list[str], dry: bool) -> str:
    """Name the packages that are wanted and not installed, and how they come; nothing if all are."""
    wanted = dict(NEEDED) | (OF_DRY_RUN if dry else {})
    for name in sections:
        wanted |= OF_SECTION.get(name, {})
    missing = [package for module, package in wanted.items() if importlib.util.find_spec(module) is None]
    if not missing:
        return ""
    names = " ".join(missing)
    return (f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed: pip install {names}, "
            f"or from a folder of wheels: pip install --no-index --find-links wheels {names}")


def versions() -> dict[str, str]:
    """Give the versions of whatever takes part; "not installed" is said of what does not."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def commit() -> str:
    """Give the commit that is checked out, with "+" if something is changed; nothing where that is not known."""
    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True,
                              timeout=10).stdout.strip()

    try:
        if git("rev-parse", "--show-toplevel") != str(ROOT):  # a copy, in somebody else's repository
            return ""
        return git("rev-parse", "HEAD") + "+" * bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return ""


def probe() -> dict[str, Any]:
    """Look at the GPU: what it is, and the versions of what only a GPU has.

    Raises
    ------
    xpnet.backend.BackendError
        If there is none.
    """
    from xpnet import get_backend
    get_backend("cuda")
    import cupy
    runtime, device = cupy.cuda.runtime, cupy.cuda.Device()
    capability = str(device.compute_capability)
    return {
        "name": runtime.getDeviceProperties(device.id)["name"].decode(),
        "compute capability": f"{capability[:-1]}.{capability[-1]}",
        "memory": device.mem_info[1],
        "count": runtime.getDeviceCount(),
        "driver": _cuda_version(runtime.driverGetVersion()),
        "runtime": _cuda_version(runtime.runtimeGetVersion()),
        "CuPy": cupy.__version__,
    }


def _cuda_version(number: int) -> str:
    return f"CUDA {number // 1000}.{number % 1000 // 10}"
