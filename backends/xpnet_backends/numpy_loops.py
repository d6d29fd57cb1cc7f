"""Whether there are loops that Numba has compiled: the extra `fast`."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["compiled_loops"]


def compiled_loops(module: str) -> Any:
    """Give one of the modules of loops; None where Numba is missing, or not for this NumPy."""
    try:
        importlib.import_module("numba")
    except ImportError:
        return None
    return importlib.import_module(f"xpnet_backends.{module}")
