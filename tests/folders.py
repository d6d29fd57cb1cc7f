"""What is in a folder, to see that nothing else is, and that nothing has changed."""

from __future__ import annotations

from pathlib import Path


def content(folder: Path) -> dict[str, bytes | None]:
    """Give all that is in a folder and below: files with their bytes, and folders."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
            for path in folder.rglob("*")}


def open_files() -> int:
    """Count the open files of this process, to see that none is forgotten."""
    return len(list(Path("/dev/fd").iterdir()))
