"""A folder for one process at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["locked_folder"]


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Keep other processes out of this block, as far as the system can lock folders.

    The folder itself is locked: nothing is left in it, and a killed process holds no lock.

    Raises
    ------
    ValueError
        If another process is in such a block.
    """
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{folder}: another run is at work there") from None
        except OSError:  # some network file systems lock no folders
            pass
        yield
    finally:
        os.close(handle)
