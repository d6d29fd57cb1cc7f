"""Functions that are recorded and played on PyTorch give what the plain ones give, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from variants import make  # noqa: E402
from xpnet_backends.torch_playing import PlayedFunction  # noqa: E402

from xpnet import (  # noqa: E402
    SGD,
    AdaGrad,
    Adam,
    AdamW,
    Affine,
    DeepConvNet,
    Momentum,
    MultiLayerNet,
    Nesterov,
    Network,
    Predictor,
    Relu,
    RMSprop,
    SimpleConvNet,
    TwoLayerNet,
    fit,
)
from xpnet.optimizers import CosineDecay, StepDecay  # noqa: E402
from xpnet.training.batches import epoch_batches, first_counter  # noqa: E402
from xpnet.training.nested import copied, flatten  # noqa: E402
from xpnet.training.step import first_carry, training_step, with_kernels  # noqa: E402

BACKEND = make("torch").backend
RNG = np.random.default_rng(0)
X = RNG.random((60, 28 * 28), dtype=np.float32)
T = RNG.integers(0, 10, 60)


def step_of(net: Any, optimizer: Any, shared: bool = False) -> Any:
    fast = net.with_kernels(BACKEND.kernels)
    return training_step(fast, with_kernels(optimizer, BACKEND), shared)


def carry_of(net: Any, optimizer: Any, seed: Any = 0) -> Any:
    return copied(first_carry(net, optimizer, BACKEND.asarray(first_counter(seed))))


def data(x: Any = X, t: Any = T) -> dict[str, Any]:
    return {"x": BACKEND.asarray(x), "t": BACKEND.asarray(t)}


def run(net: Any, step: Any, optimizer: Any, arrays: Any = None, seed: Any = 0, batch_size: int = 10,
        streamed: bool = False) -> Iterator[tuple[Any, Any]]:
    carry = carry_of(net, optimizer, seed)
    arrays = arrays or data()
    with torch.no_grad():
        for epoch in (1, 2):
            for rows in epoch_batches(60, batch_size, seed, epoch):
                rows = BACKEND.asarray(rows)
                if streamed:
                    carry, loss = step(carry, {name: a[rows] for name, a in arrays.items()}, None)
                else:
                    carry, loss = step(carry, arrays, rows)
                yield carry, loss


def assert_same(one: Any, other: Any) -> None:
    a, b = flatten(one), flatten(other)
    assert list(a) == list(b)
    for name in a:
        assert a[name].dtype == b[name].dtype
        assert a[name].stride() == b[name].stride()
        assert torch.equal(a[name], b[name]), name


def assert_played(net: Any, optimizer: Any, **options: Any) -> PlayedFunction:
    step = step_of(net, optimizer, net.stack_axes > 0 and isinstance(options.get("seed", 0), int))
    played, before = PlayedFunction(step), copied(net.params)
    for (one, loss), (other, same) in zip(
        run(net, played, optimizer, **options), run(net, step, optimizer, **options), strict=True
    ):
        assert torch.equal(loss, same)
        assert_same(one, other)
    assert played.refused == ""
    assert played._program is not None
    assert_same(net.params, before)
    return played


def multi(dtype: str = "float32", **options: Any) -> MultiLayerNet:
    return MultiLayerNet(784, [12, 9], 10, seed=0, dtype=dtype, backend=BACKEND, **options)


@pytest.mark.parametrize("optimizer", [
    SGD(0.1), SGD(StepDecay(0.1, 5), weight_decay=0.1), Momentum(0.1), Nesterov(CosineDecay(0.1, 50)),
    AdaGrad(), RMSprop(weight_decay=0.1, decoupled=True), Adam(), AdamW(clip_norm=0.5),
    Adam(CosineDecay(0.1, 50)),
], ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_every_optimizer(optimizer: Any, dtype: str) -> None:
    assert_played(multi(dtype), optimizer, arrays=data(X.astype(dtype)))


@pytest.mark.parametrize("make_network", [
    lambda: TwoLayerNet(784, 100, 10, seed=0, dtype="float32", backend=BACKEND),
    lambda: multi(use_batchnorm=True, use_dropout=True, dropout_ration=0.3),
    lambda: multi(activation="sigmoid"),
    lambda: SimpleConvNet((1, 28, 28), seed=0, dtype="float32", backend=BACKEND),
    lambda: DeepConvNet((1, 28, 28), seed=0, dtype="float32", backend=BACKEND),
], ids=["two", "batch-norm and dropout", "sigmoid", "simple-conv", "deep-conv"])
def test_networks(make_network: Any) -> None:
    net = make_network()
    x = X.reshape(-1, 1, 28, 28) if "Conv" in type(net).__name__ else X
    assert_played(net, Adam(), arrays=data(x))


@pytest.mark.parametrize("seed", [0, [3, 4, 5]])
def test_stacks(seed: Any) -> None:
    net = MultiLayerNet(784, [12], 10, seed=[0, 1, 2], dtype="float32", use_dropout=True, backend=BACKEND)
    assert_played(net, SGD([0.1, 0.2, 0.3]), seed=seed)


def test_batches_that_are_new_arrays_each_time() -> None:
    assert_played(multi(), Adam(), streamed=True)
