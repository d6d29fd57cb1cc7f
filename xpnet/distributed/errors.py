"""What is said when a rank fails, and which ends are no failures."""

from __future__ import annotations

__all__ = ["RankError", "describe", "is_common", "make_common"]

LONGEST = 1000
"""Characters of a cause."""


class RankError(RuntimeError):
    """Another rank has failed: which one, and why."""


def describe(error: BaseException) -> str:
    """Say in one line what went wrong."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    words = " ".join(str(error).split())[:LONGEST]
    if isinstance(error, MemoryError):
        return f"not enough memory: {words or type(error).__name__}"
    if words and isinstance(error, ValueError | OSError | ImportError | RuntimeError):
        return words
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def make_common(error: BaseException) -> None:
    """Mark an exception as one that all ranks raise, at the same step: none has to be told of it."""
    vars(error)["is_common"] = True


def is_common(error: BaseException) -> bool:
    """Tell whether all ranks raise this."""
    return "is_common" in vars(error)
