"""Where the files of a data set are: in a folder, in the cache, or still to be downloaded."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from xpnet._extras import import_extra
from xpnet.datasets.idx import DatasetError, parse_idx, read_content
from xpnet.datasets.sources import Part, Source

__all__ = ["find_files", "read_part"]


def find_files(
    name: str, source: Source, data_dir: str | os.PathLike[str] | None
) -> list[Path]:
    """Find the four files of a data set, or download them.

    Looks in `data_dir` alone if it is given. Else, a data set that ships with xpnet is taken from
    there, and any other from the folder that the environment variable XPNET_DATA names, from the
    user's cache, from where the system installs it; and downloaded to the cache last. A folder may
    hold the files, or hold them in a folder of the data set's name. One that holds some of them and
    not all is an error, but for the cache, which a download completes.
    """
    if data_dir is not None:
        folder = Path(data_dir)
        found = _in_folder(name, source, folder)
        if found is None:
            raise DatasetError(f"{folder}: no {name} here: {source.parts[0].name}[.gz] and three "
                               f"more are wanted, in the folder or in {folder / name}")
        return found
    named = os.environ.get("XPNET_DATA") if source.url else None
    if named:
        if not Path(named).is_dir():
            raise DatasetError(f"{named}: no such folder; the environment variable XPNET_DATA "
                               "names it")
        if found := _in_folder(name, source, Path(named)):
            return found
    if found := _in_cache(name, source):
        return found
    for folder in source.folders:
        if found := _in_folder(name, source, folder):
            return found
    return _download(name, source)


def _in_folder(name: str, source: Source, folder: Path) -> list[Path] | None:
    for place in (folder / name, folder):
        found = [_either(place / part.name) for part in source.parts]
        if all(found):
            return [path for path in found if path]
        if any(found):
            missing = [p.name for p, path in zip(source.parts, found, strict=True) if not path]
            raise DatasetError(f"{place}: {name} is not whole: {' and '.join(missing)} missing, "
                               "plain or .gz")
    return None


def _either(path: Path) -> Path | None:
    compressed = path.with_name(path.name + ".gz")
    return next((p for p in (compressed, path) if p.is_file()), None)


def _in_cache(name: str, source: Source) -> list[Path] | None:
    """Look where pooch keeps downloads; it alone puts them there."""
    if source.url is None:
        return None
    try:
        pooch = import_extra("pooch", "the cache of data sets")
    except ImportError:
        return None
    found = [Path(pooch.os_cache("xpnet"), name, f"{part.name}.gz") for part in source.parts]
    return found if all(path.is_file() for path in found) else None


def _download(name: str, source: Source) -> list[Path]:
    if source.url is None:
        raise DatasetError(f"{name} is not in {source.folders[0]}: the installation is broken")
    pooch = import_extra("pooch", f"{name} is not on this machine; downloading it")
    pooch.get_logger().setLevel("WARNING")
    folder = Path(pooch.os_cache("xpnet")) / name
    try:
        return [
            Path(pooch.retrieve(
                url=f"{source.url}{part.name}.gz", known_hash=f"sha256:{part.download_sha256}",
                fname=f"{part.name}.gz", path=folder,
            ))
            for part in source.parts
        ]
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{name} is not on this machine, and downloading it failed: name a folder with its four "
            "files by data_dir (--data-dir) or the environment variable XPNET_DATA. "
            f"{source.url}: {str(error).partition(chr(10))[0]}"
        ) from None


def read_part(part: Part, path: Path) -> NDArray[Any]:
    """Read one file of a data set, strictly, and hold its content to its hash."""
    content = read_content(path)
    elements = parse_idx(content, path, ndim=part.ndim)
    if hashlib.sha256(content).hexdigest() != part.content_sha256:
        raise DatasetError(f"{path}: not the published {part.name}: its SHA-256 differs. It is "
                           "corrupted, or of another data set with the same file names")
    return elements
