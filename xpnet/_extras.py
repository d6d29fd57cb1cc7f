"""Optional libraries, imported when they are needed."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["import_extra"]


def import_extra(module: str, purpose: str, extra: str = "train") -> Any:
    """Import an optional module, or say which extra brings it.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        raise ImportError(
            f"{purpose} needs {module.partition('.')[0]}, which is not installed: "
            f'pip install "xpnet[{extra}]"'
        ) from None
