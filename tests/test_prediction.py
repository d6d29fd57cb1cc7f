from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from variants import Variant
from xpnet_backends.numpy_playing import PlayedFunction

from xpnet import MultiLayerNet, Predictor, SimpleConvNet, TwoLayerNet, prediction

X = np.random.default_rng(0).random((37, 28 * 28)).astype(np.float32)


def scores(xp: Variant, net: Any, x: Any) -> Any:
    return xp.backend.to_numpy(net.predict(xp.asarray(x)))


@pytest.mark.parametrize("rows", [1, 10, 36, 37, 100])
def test_it_predicts_what_the_network_does(
    eager: Variant, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction, "ROWS", rows)
    monkeypatch.setattr(prediction, "IMAGES", min(rows, 7))
    kind: Any = {"backend": eager.backend, "dtype": "float32", "seed": 0}
    for net, shape in (
        (MultiLayerNet(784, [12, 9], 10, use_batchnorm=True, use_dropout=True, **kind), (784,)),
        (SimpleConvNet((1, 28, 28), hidden_size=20, **kind), (1, 28, 28)),
    ):
        predict = Predictor(net)
        for x in (X, X[:3], X[:0], X, X * 2):
            x = x.reshape(-1, *shape)
            eager.check(predict(eager.asarray(x)), scores(eager, net, x), rtol=1e-4, atol=1e-4,
                        dtype="float32")


def test_a_stack(eager: Variant) -> None:
    net = MultiLayerNet(784, [12], 10, seed=[0, 1], backend=eager.backend, dtype="float32")
    eager.check(Predictor(net)(eager.asarray(X)), scores(eager, net, X), rtol=1e-4, atol=1e-5)


def test_other_dtypes_are_cast() -> None:
    net = TwoLayerNet(784, 5, 10, seed=0, dtype="float32")
    predict = Predictor(net)
    for x in (X.astype(np.float64), (X * 255).astype(np.uint8), X[::2], X.reshape(-1, 28, 28)):
        found = predict(x)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, net.predict(x), rtol=1e-5)


def test_it_holds_copies_and_gives_new_arrays() -> None:
    net = TwoLayerNet(784, 5, 10, seed=0, dtype="float32")
    predict = Predictor(net)
    first = predict(X)
    before = first.copy()
    net.params["W1"] *= 0
    second = predict(X + 1)
    np.testing.assert_array_equal(first, before)
    np.testing.assert_array_equal(predict(X), before)
    assert not np.array_equal(second, before)
    first[...] = 7
    np.testing.assert_array_equal(predict(X), before)


def test_errors_are_those_of_the_network() -> None:
    predict = Predictor(TwoLayerNet(784, 5, 10, seed=0))
    with pytest.raises(ValueError, match="Affine1 wants x of shape"):
        predict(X[:, :3])
    with pytest.raises(TypeError, match="wants x to be an array"):
        predict([[1.0]])


def test_threads_may_share_it() -> None:
    predict = Predictor(TwoLayerNet(784, 50, 10, seed=0, dtype="float32"))
    expected = [predict(row) for row in np.split(X, len(X))]
    wrong: list[int] = []

    def work() -> None:
        for _ in range(20):
            for k, row in enumerate(np.split(X, len(X))):
                if not np.array_equal(predict(row), expected[k]):
                    wrong.append(k)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_of_many_shapes_few_are_kept() -> None:
    predict = PlayedFunction(TwoLayerNet(784, 5, 10, seed=0, dtype="float32").predict)
    for count in range(1, 30):
        predict(X[:count])
    assert len(predict._plays) == 8
