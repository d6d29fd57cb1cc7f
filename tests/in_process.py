"""Running the scripts in the process of the tests, which is faster than in a shell."""

from __future__ import annotations

import importlib
import signal
import sys
from types import ModuleType

from shell import SCRIPTS


def script(name: str) -> ModuleType:
    """Import a script, or a file of theirs, and leave Ctrl-C and the path as they were."""
    path, handler = list(sys.path), signal.getsignal(signal.SIGINT)
    sys.path.insert(0, str(SCRIPTS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path[:] = path
        signal.signal(signal.SIGINT, handler)
