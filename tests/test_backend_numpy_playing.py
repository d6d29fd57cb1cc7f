"""Steps that are recorded and played give what the plain ones give, bit for bit."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from variants import make
from xpnet_backends.numpy_playing import PlayedStep

from xpnet import (
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
    Relu,
    RMSprop,
    Sequential,
    SimpleConvNet,
    SoftmaxWithLoss,
    TwoLayerNet,
    fit,
)
from xpnet.layers import Layer
from xpnet.optimizers import CosineDecay
from xpnet.training.batches import epoch_batches, first_counter
from xpnet.training.nested import copied, flatten
from xpnet.training.step import first_carry, training_step, with_kernels

BACKEND = make("numpy").backend
RNG = np.random.default_rng(0)
X = RNG.random((60, 28 * 28), dtype=np.float32)
IMAGES = X.reshape(-1, 1, 28, 28)
T = RNG.integers(0, 10, 60)


@pytest.fixture(params=["with Numba", "without"], autouse=True)
def numba(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything be played with the loops of the extra `fast`, and without."""
    if request.param == "with Numba" and importlib.util.find_spec("numba") is None:
        pytest.skip("numba is not installed")
    if request.param == "without":
        for name in ("affine", "cross_entropy", "relu", "updates"):
            monkeypatch.setattr(f"xpnet_backends.numpy_{name}.loops", None)


def step_of(net: Any, optimizer: Any, shared: bool = False) -> Any:
    fast = net.with_kernels(BACKEND.kernels)
    return training_step(fast, with_kernels(optimizer, BACKEND), shared)


def run(net: Any, step: Any, optimizer: Any, x: Any = X, seed: Any = 0, batch_size: int = 10
        ) -> Iterator[tuple[Any, Any]]:
    carry = first_carry(net, optimizer, first_counter(seed))
    arrays = {"x": x, "t": T}
    for epoch in (1, 2):
        for rows in epoch_batches(60, batch_size, seed, epoch):
            carry, loss = step(carry, arrays, rows)
            yield copied(carry), loss


def assert_played(net: Any, optimizer: Any, x: Any = X, seed: Any = 0) -> None:
    step = step_of(net, optimizer, shared=net.stack_axes > 0 and isinstance(seed, int))
    played = PlayedStep(step)
    before = copied(net.params)
    for (one, loss), (other, same) in zip(
        run(net, played, optimizer, x, seed), run(net, step, optimizer, x, seed), strict=True
    ):
        np.testing.assert_array_equal(loss, same)
        assert type(loss) in (np.ndarray, loss.dtype.type)
        a, b = flatten(one), flatten(other)
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)
            assert a[name].dtype == b[name].dtype
            assert type(a[name]) is np.ndarray
    assert len(played._takes) == 2
    for name, p in net.params.items():
        np.testing.assert_array_equal(p, before[name])


def multi(dtype: str = "float32", **options: Any) -> MultiLayerNet:
    return MultiLayerNet(784, [12, 9], 10, seed=0, dtype=dtype, **options)


@pytest.mark.parametrize("optimizer", [
    SGD(0.1), SGD(0.1, weight_decay=0.1), Momentum(0.1), Nesterov(CosineDecay(0.1, 50)), AdaGrad(),
    RMSprop(weight_decay=0.1, decoupled=True), Adam(), AdamW(clip_norm=0.5),
], ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_every_optimizer(optimizer: Any, dtype: str) -> None:
    assert_played(multi(dtype), optimizer)


@pytest.mark.parametrize("make_network", [
    lambda: TwoLayerNet(784, 100, 10, seed=0, dtype="float32"),  # W1 is updated in parts
    lambda: multi(use_batchnorm=True, use_dropout=True, dropout_ration=0.3),
    lambda: multi(activation="sigmoid"),
    lambda: SimpleConvNet((1, 28, 28), seed=0, dtype="float32"),
    lambda: DeepConvNet((1, 28, 28), seed=0, dtype="float32"),
], ids=["two", "batch-norm and dropout", "sigmoid", "simple-conv", "deep-conv"])
def test_networks(make_network: Any) -> None:
    net = make_network()
    assert_played(net, Adam(), IMAGES if "Conv" in type(net).__name__ else X)


@pytest.mark.parametrize("seed", [0, [3, 4, 5]])
def test_stacks(seed: Any) -> None:
    net = MultiLayerNet(784, [12], 10, seed=[0, 1, 2], dtype="float32", use_dropout=True)
    assert_played(net, SGD([0.1, 0.2, 0.3]), seed=seed)


def test_images_of_eight_bits() -> None:
    assert_played(multi(), SGD(0.001), x=(X * 255).astype(np.uint8))


def test_batches_that_are_new_arrays_each_time() -> None:
    net, optimizer = multi(), Adam()
    step = step_of(net, optimizer)
    played = PlayedStep(step)
    carry = other = first_carry(net, optimizer, first_counter(0))
    for rows in epoch_batches(60, 10, 0, 1):
        batch = {"x": X[rows], "t": T[rows]}
        carry, loss = played(carry, batch, None)
        other, same = step(other, batch, None)
        assert loss == same
    assert len(played._takes) == 2


def test_what_it_gives_lasts_until_the_step_after_the_next() -> None:
    net, optimizer = multi(), Adam()
    played = PlayedStep(step_of(net, optimizer))
    carry = first_carry(net, optimizer, first_counter(0))
    losses, arrays = [], {"x": X, "t": T}
    for rows in epoch_batches(60, 10, 0, 1):
        before = copied(carry)
        after, loss = played(carry, arrays, rows)
        for name, a in flatten(carry).items():  # an interrupt would find it whole
            np.testing.assert_array_equal(a, flatten(before)[name])
        carry = after
        losses.append((loss, float(loss)))
    assert [float(loss) for loss, _ in losses] == [value for _, value in losses]


def test_a_carry_from_elsewhere_and_another_batch_size() -> None:
    net, optimizer = multi(), Momentum(0.1)
    step = step_of(net, optimizer)
    played = PlayedStep(step)
    for _ in run(net, played, optimizer):
        pass
    for batch_size in (10, 5, 10):  # 5 is not what was recorded
        for (one, loss), (other, same) in zip(
            run(net, played, optimizer, batch_size=batch_size),
            run(net, step, optimizer, batch_size=batch_size), strict=True
        ):
            assert loss == same
            for name, a in flatten(one).items():
                np.testing.assert_array_equal(a, flatten(other)[name])


class Noisy(Relu):
    """Draws from a generator of its own."""

    recordable = True  # as it thinks

    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.default_rng(0)

    def _apply(self, x: Any) -> Any:
        return super()._apply(x) + self.rng.random(x.shape, dtype=np.float32)


class Looks(Relu):
    """Looks at values."""

    recordable = True

    def _apply(self, x: Any) -> Any:
        return super()._apply(x) if float(np.max(x)) > 0 else x


class Escapes(Relu):
    """Computes where nobody sees it."""

    recordable = True

    def _apply(self, x: Any) -> Any:
        return np.maximum(np.asarray(x) * 2, 0)


@pytest.mark.parametrize("kind", [Noisy, Looks, Escapes])
def test_what_cannot_be_played_is_called(kind: Any) -> None:
    def net() -> Network:
        rng = np.random.default_rng(1)
        layers = (rng.standard_normal((784, 8), dtype=np.float32),
                  rng.standard_normal((8, 10), dtype=np.float32))
        return Network([Affine(layers[0], np.zeros(8, np.float32)), kind(),
                        Affine(layers[1], np.zeros(10, np.float32))])

    optimizer, one, other = SGD(0.01), net(), net()
    played = PlayedStep(step_of(one, optimizer))
    for (a, loss), (b, same) in zip(run(one, played, optimizer),
                                    run(other, step_of(other, optimizer), optimizer), strict=True):
        if kind is not Noisy:  # which may have drawn twice when a recording was given up
            assert loss == same
            np.testing.assert_array_equal(a["params"]["W1"], b["params"]["W1"])
    assert played._takes == []


def test_memory_is_used_again() -> None:
    """As many temporaries of a size as are held at once, not as many as there are."""
    net, optimizer = MultiLayerNet(784, [300, 300], 10, seed=0, dtype="float32"), Adam()
    played = PlayedStep(step_of(net, optimizer))
    for _ in run(net, played, optimizer):
        pass
    places = {id(a.base): a.base.nbytes for take in played._takes for _, args in take._played
              for a in args if isinstance(a, np.ndarray) and a.base is not None}
    weights = sum(p.nbytes for p in net.params.values())
    # Weights and what Adam remembers, in two places; gradients; and what is computed on the way.
    assert 6 * weights < sum(places.values()) < 14 * weights


def test_errors_are_those_of_the_plain_step() -> None:
    net, optimizer = multi(), SGD(0.1)
    played = PlayedStep(step_of(net, optimizer))
    carry = first_carry(net, optimizer, first_counter(0))
    for wrong in ({"x": X[:, :5], "t": T}, {"x": X, "t": T.astype(np.float32)}):
        with pytest.raises(ValueError, match="want"):
            played(carry, wrong, np.arange(10))
    with pytest.raises(IndexError):
        played(carry, {"x": X, "t": T}, np.arange(100, 110))


class OfOnesOwn(Layer):
    def forward(self, x: Any) -> Any:
        return x

    def backward(self, dout: Any) -> Any:
        return dout


def test_only_xpnets_own_classes_are_recorded() -> None:
    W, b = np.zeros((2, 3)), np.zeros(3)
    assert Network([Affine(W, b), Relu()]).is_recordable()
    assert Adam().recordable

    class Rule(Adam):
        pass

    class Loss(SoftmaxWithLoss):
        pass

    class Same(OfOnesOwn):
        recordable = True

    class Net(Network):
        pass

    assert not Rule().recordable
    for net in (Network([Affine(W, b), OfOnesOwn()]), Network([Affine(W, b)], Loss()),
                Network([Sequential([OfOnesOwn()])]), Net([Affine(W, b)])):
        assert not net.is_recordable()
    assert Network([Affine(W, b), Same()]).is_recordable()


def test_fit_records_only_what_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    compile_ = type(BACKEND).compile

    def watched(self: Any, function: Any, *, donate: bool = False, record: bool = False) -> Any:
        if donate:
            asked.append(record)
        return compile_(self, function, donate=donate, record=record)

    class Rule(SGD):
        pass

    monkeypatch.setattr(type(BACKEND), "compile", watched)
    rng = np.random.default_rng(0)
    for layers, optimizer in (([], SGD()), ([OfOnesOwn()], SGD()), ([], Rule())):
        net = Network([Affine(rng.random((784, 10)), np.zeros(10)), *layers])
        fit(net, X, T, optimizer=optimizer, epochs=1, batch_size=10, progress=False)
    assert asked == [True, False, False]
