"""MNIST and its relatives, loaded as in the book (chapter 3.6.1)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xpnet.backend import get_backend
from xpnet.datasets.files import find_files, read_part
from xpnet.datasets.idx import DatasetError
from xpnet.datasets.sources import SOURCES, Source
from xpnet.functional import one_hot

if TYPE_CHECKING:
    from xpnet.backend import Backend
    from xpnet.functional._array import Array

__all__ = ["class_names", "load_mnist"]

Split: TypeAlias = "tuple[Array, Array]"


def load_mnist(
    normalize: bool = True,
    flatten: bool = True,
    one_hot_label: bool = False,
    *,
    dataset: str = "mnist-5k",
    data_dir: str | os.PathLike[str] | None = None,
    backend: str | Backend | None = None,
) -> tuple[Split, Split]:
    """Load images of 28 × 28 pixels and their labels.

    Parameters
    ----------
    normalize : bool
        Whether to give the pixels as float32 from 0 to 1; else as uint8 from 0 to 255.
    flatten : bool
        Whether to give the images as rows `(N, 784)`; else as `(N, 1, 28, 28)`.
    one_hot_label : bool
        Whether to give the labels as float32 rows `(N, 10)`; else as uint8 class numbers `(N,)`.
    dataset : str
        "mnist-5k", 4,000 and 1,000 digits of MNIST, which ships with xpnet; or "mnist" or
        "fashion-mnist", 60,000 and 10,000 images, which are looked for in the folder XPNET_DATA
        names, in the user's cache and where Debian's dataset-fashion-mnist puts them, and
        downloaded to the cache if need be.
    data_dir : path, optional
        The folder to take the files from, instead.
    backend : str or Backend, optional
        Where to put the arrays, see `xpnet.get_backend`; by default they are NumPy's.

    Returns
    -------
    (x_train, t_train), (x_test, t_test) : tuples of arrays
        Images and labels to train and to test with.

    Raises
    ------
    DatasetError
        If a file is missing, truncated, corrupted, or another than its name says: each is held to
        its SHA-256.
    TypeError
        If one of the first three is no bool, as the name of a data set would be there.
    """
    for name, value in (("normalize", normalize), ("flatten", flatten),
                        ("one_hot_label", one_hot_label)):
        if not isinstance(value, bool):
            hint = f"; a data set goes by dataset={value!r}" if isinstance(value, str) else ""
            raise TypeError(f"load_mnist wants {name} to be a bool; got {value!r:.60}{hint}")
    source = _source(dataset)
    arrays = [
        read_part(part, path)
        for part, path in zip(source.parts, find_files(dataset, source, data_dir), strict=True)
    ]
    arrays[0::2] = [_images(x, normalize, flatten) for x in arrays[0::2]]
    if one_hot_label:
        arrays[1::2] = [one_hot(t, len(source.classes), np.float32) for t in arrays[1::2]]
    if backend is not None:
        arrays = [get_backend(backend).asarray(a) for a in arrays]
    x_train, t_train, x_test, t_test = arrays
    return (x_train, t_train), (x_test, t_test)


def class_names(dataset: str) -> tuple[str, ...]:
    """Give what each class number of a data set means."""
    return _source(dataset).classes


def _source(dataset: str) -> Source:
    if dataset not in SOURCES:
        raise DatasetError(f"no data set {dataset!r}; there are {', '.join(SOURCES)}")
    return SOURCES[dataset]


def _images(x: NDArray[Any], normalize: bool, flatten: bool) -> NDArray[Any]:
    x = x.reshape(len(x), -1) if flatten else x.reshape(len(x), 1, *x.shape[1:])
    return np.divide(x, np.float32(255), dtype=np.float32) if normalize else x
