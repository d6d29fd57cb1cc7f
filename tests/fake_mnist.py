"""A small data set like MNIST, known to load_mnist by the name of "fake"."""

from __future__ import annotations

import gzip
import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from xpnet import DatasetError, load_mnist
from xpnet.datasets.sources import SOURCES, Part, Source

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte",
         "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(elements: NDArray[Any]) -> bytes:
    shape = elements.shape
    return struct.pack(f">I{len(shape)}I", 0x0800 + len(shape), *shape) + elements.tobytes()


def packed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


@dataclass
class Fake:
    """A small data set like MNIST, of 8 and 3 images, drawn from a seed."""

    arrays: dict[str, NDArray[Any]]

    @property
    def source(self) -> Source:
        def part(name: str) -> Part:
            content = idx(self.arrays[name])
            return Part(name, self.arrays[name].ndim, hashlib.sha256(content).hexdigest(),
                        hashlib.sha256(packed(content)).hexdigest())

        return Source((part(NAMES[0]), part(NAMES[1]), part(NAMES[2]), part(NAMES[3])))

    def write(self, folder: Path, *, compressed: bool = True) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, elements in self.arrays.items():
            content = idx(elements)
            if compressed:
                (folder / f"{name}.gz").write_bytes(packed(content))
            else:
                (folder / name).write_bytes(content)
        return folder

    def check(self, found: Any) -> None:
        """See that the images and labels are these."""
        (x, t), (x_test, t_test) = found
        for array, name in zip((x, t, x_test, t_test), NAMES, strict=True):
            expected = self.arrays[name]
            np.testing.assert_array_equal(array, expected.reshape(len(expected), -1).squeeze())


def fake(seed: int) -> Fake:
    random = np.random.default_rng(seed)
    return Fake({
        f"{which}-{kind}-ubyte": random.integers(0, end, (rows, *shape), dtype=np.uint8)
        for which, rows in (("train", 8), ("t10k", 3))
        for kind, end, shape in (("images-idx3", 256, (28, 28)), ("labels-idx1", 10, ()))
    })


def load(**options: Any) -> Any:
    return load_mnist(normalize=False, dataset="fake", **options)


NOBODY = "http://127.0.0.1:9/"


def offered(
    monkeypatch: pytest.MonkeyPatch, data: Fake, *, url: str | None = NOBODY, **fields: Any
) -> Source:
    """Offer the data set under the name "fake", for download where nobody answers."""
    source = Source(data.source.parts, url=url, **fields)
    monkeypatch.setitem(SOURCES, "fake", source)
    return source


def refused(*wanted: str, **options: Any) -> str:
    """See that loading fails in words, in one line."""
    __tracebackhide__ = True
    with pytest.raises(DatasetError) as caught:
        load(**options)
    message = str(caught.value)
    for part in wanted:
        assert part in message, f"{part!r} is not in {message!r}"
    assert "\n" not in message, message
    return message
