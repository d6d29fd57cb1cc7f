from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from variants import Variant

import xpnet.datasets
from xpnet import DatasetError, load_mnist
from xpnet.datasets import class_names

SHIPPED = Path(xpnet.datasets.__file__).parent / "mnist_5k"
FASHION = Path("/usr/share/datasets/fashion-mnist")


def raw(path: Path) -> NDArray[Any]:
    """Read images or labels without xpnet."""
    content = gzip.decompress(path.read_bytes())
    images = "images" in path.name
    elements = np.frombuffer(content, np.uint8, offset=16 if images else 8)
    return elements.reshape(-1, 28, 28) if images else elements


@pytest.mark.parametrize("one_hot_label", [False, True])
@pytest.mark.parametrize("flatten", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
def test_every_combination_of_options(
    normalize: bool, flatten: bool, one_hot_label: bool
) -> None:
    train, test = load_mnist(normalize, flatten, one_hot_label)
    for (x, t), which, rows in ((train, "train", 4000), (test, "t10k", 1000)):
        images = raw(SHIPPED / f"{which}-images-idx3-ubyte.gz")
        labels = raw(SHIPPED / f"{which}-labels-idx1-ubyte.gz")
        assert x.shape == ((rows, 784) if flatten else (rows, 1, 28, 28))
        if normalize:
            assert x.dtype == np.float32
            assert x.min() == 0
            assert x.max() == 1
            expected = images.astype(np.float64).reshape(x.shape) / 255
            np.testing.assert_allclose(x, expected, rtol=2.0**-23)
        else:
            assert x.dtype == np.uint8
            np.testing.assert_array_equal(x, images.reshape(x.shape))
        if one_hot_label:
            assert t.shape == (rows, 10)
            assert t.dtype == np.float32
            np.testing.assert_array_equal(t, np.eye(10)[labels])
        else:
            assert t.dtype == np.uint8
            np.testing.assert_array_equal(t, labels)


def test_the_books_defaults() -> None:
    (x, t), _ = load_mnist()
    assert (x.shape, x.dtype, t.shape, t.dtype) == ((4000, 784), np.float32, (4000,), np.uint8)


def test_what_ships_is_mnist_with_every_digit_equally_often() -> None:
    (x, t), (x_test, t_test) = load_mnist(flatten=False)
    np.testing.assert_array_equal(np.bincount(t), [400] * 10)
    np.testing.assert_array_equal(np.bincount(t_test), [100] * 10)
    # The mean and standard deviation that everybody normalises MNIST with.
    assert float(x.mean(dtype=np.float64)) == pytest.approx(0.1307, abs=0.003)
    assert float(x.std(dtype=np.float64)) == pytest.approx(0.3081, abs=0.003)
    # No image twice, nor in both.
    assert len(np.unique(np.concatenate([x, x_test]).reshape(5000, -1), axis=0)) == 5000


def test_on_every_backend(eager: Variant) -> None:
    found = load_mnist(backend=eager.backend)
    expected = load_mnist()
    for pair, expected_pair in zip(found, expected, strict=True):
        for a, e in zip(pair, expected_pair, strict=True):
            eager.check(a, e, rtol=0)
    (x, t), _ = load_mnist(False, False, True, backend=eager.backend)
    (x_expected, t_expected), _ = load_mnist(False, False, True)
    eager.check(x, x_expected, dtype="uint8", rtol=0)
    eager.check(t, t_expected, dtype="float32", rtol=0)


def test_backend_by_name() -> None:
    (x, _), _ = load_mnist(backend="numpy")
    assert isinstance(x, np.ndarray)


def test_class_names() -> None:
    assert class_names("mnist-5k") == class_names("mnist") == tuple("0123456789")
    assert len(class_names("fashion-mnist")) == 10
    assert class_names("fashion-mnist")[9] == "Ankle boot"


@pytest.mark.parametrize("call", [class_names, lambda name: load_mnist(dataset=name)])
def test_unknown_name(call: Any) -> None:
    with pytest.raises(DatasetError, match=r"'cifar'.*mnist-5k, mnist, fashion-mnist"):
        call("cifar")


def test_the_name_of_a_data_set_where_a_bool_is_wanted() -> None:
    load: Any = load_mnist
    with pytest.raises(TypeError, match=r"normalize to be a bool; .* dataset='fashion-mnist'"):
        load("fashion-mnist")
    for options in ({"flatten": 1}, {"one_hot_label": None}):
        with pytest.raises(TypeError, match=f"{next(iter(options))} to be a bool; got (1|None)$"):
            load(**options)


@pytest.mark.skipif(not (FASHION / "train-images-idx3-ubyte.gz").is_file(),
                    reason=f"Debian's dataset-fashion-mnist is not installed in {FASHION}")
@pytest.mark.usefixtures("cache")
def test_fashion_mnist() -> None:
    (x, t), (x_test, t_test) = load_mnist(dataset="fashion-mnist")
    assert (x.shape, x_test.shape) == ((60000, 784), (10000, 784))
    np.testing.assert_array_equal(np.bincount(t), [6000] * 10)
    np.testing.assert_array_equal(np.bincount(t_test), [1000] * 10)
    np.testing.assert_array_equal(t[:10], [9, 0, 0, 3, 0, 2, 7, 2, 5, 5])
    np.testing.assert_array_equal(t_test[:10], [9, 2, 1, 1, 6, 1, 4, 6, 5, 7])
    # The mean and standard deviation that everybody normalises it with.
    assert float(x.mean(dtype=np.float64)) == pytest.approx(0.2860, abs=5e-5)
    assert float(x.std(dtype=np.float64)) == pytest.approx(0.3530, abs=5e-5)
