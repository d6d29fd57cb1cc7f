"""Python reads this as it starts: with `XPNET_CUDA_ON_CPU=1`, the first import of CuPy finds the stand-in.

As on a machine with GPUs, `CUDA_VISIBLE_DEVICES` says which of them are seen: if it is empty, none.
"""

from __future__ import annotations

import importlib.abc
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType


class _Finder(importlib.abc.MetaPathFinder):
    """Installs the stand-in when CuPy is looked for."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "cupy" and not fullname.startswith("array_api_compat.cupy"):
            return None
        from benchmarks.cuda_on_cpu import install

        sys.meta_path.remove(self)
        seen = os.environ.get("CUDA_VISIBLE_DEVICES")
        install(2 if seen is None else [int(number) for number in seen.split(",") if number])
        return sys.modules[fullname].__spec__


if os.environ.get("XPNET_CUDA_ON_CPU") == "1":
    sys.meta_path.insert(0, _Finder())
