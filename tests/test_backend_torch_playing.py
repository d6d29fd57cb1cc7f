"""Functions that are recorded and played on PyTorch give what the plain ones give, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from variants import make
from xpnet_backends.torch_playing import PlayedFunction

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
    Predictor,
    Relu,
    RMSprop,
    SimpleConvNet,
    TwoLayerNet,
    fit,
)
from xpnet.optimizers import CosineDecay, StepDecay
from xpnet.training.batches import epoch_batches, first_counter
from xpnet.training.nested import copied, flatten
from xpnet.training.step import first_carry, training_step, with_kernels

BACKEND = make("torch").backend
RNG = np.random.default_rng(0)
X = RNG.random((60, 28 * 28), dtype=np.float32)
T = RNG.integers(0, 10, 60)


@pytest.fixture(autouse=True)
def no_grad() -> Iterator[None]:
    """Compute without autograd's bookkeeping, the plain steps as well."""
    with torch.no_grad():
        yield


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


def test_images_of_eight_bits() -> None:
    assert_played(multi(), SGD(0.001), arrays=data((X * 255).astype(np.uint8)))


def test_without_kernels() -> None:
    net, optimizer = multi(), Adam()
    step = training_step(net, optimizer, False)
    played = PlayedFunction(step)
    for (one, loss), (other, same) in zip(run(net, played, optimizer), run(net, step, optimizer),
                                          strict=True):
        assert torch.equal(loss, same)
        assert_same(one, other)
    assert played._program is not None


def test_what_it_gives_is_nobody_elses() -> None:
    net, optimizer = multi(), Adam()
    played = PlayedFunction(step_of(net, optimizer))
    carries = []
    with torch.enable_grad():
        for carry, loss in run(net, played, optimizer):
            carries.append((carry, copied(carry), loss, float(loss)))
    for carry, before, loss, value in carries:
        assert_same(carry, before)
        assert float(loss) == value
        assert not loss.requires_grad
        assert not loss.is_inference()


def test_a_carry_from_elsewhere_and_another_batch_size() -> None:
    net, optimizer = multi(), Momentum(0.1)
    step = step_of(net, optimizer)
    played = PlayedFunction(step)
    for batch_size in (10, 5, 10, 7):
        for (one, loss), (other, same) in zip(
            run(net, played, optimizer, batch_size=batch_size),
            run(net, step, optimizer, batch_size=batch_size), strict=True
        ):
            assert torch.equal(loss, same)
            assert_same(one, other)
    assert played.refused == ""


class Noisy(Relu):
    """Draws from a generator of its own."""

    recordable = True  # as it thinks

    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.default_rng(0)

    def _apply(self, x: Any) -> Any:
        return super()._apply(x) + torch.from_numpy(self.rng.random(x.shape, dtype=np.float32))


class Counts(Relu):
    """Has a number that changes."""

    recordable = True

    def __init__(self) -> None:
        super().__init__()
        self.steps = [0.0]  # a layer is copied for each step, what it holds is not

    def _apply(self, x: Any) -> Any:
        self.steps[0] += 1
        return super()._apply(x) * self.steps[0]


class Looks(Relu):
    """Looks at values."""

    recordable = True

    def _apply(self, x: Any) -> Any:
        return super()._apply(x) if float(torch.max(x)) > 0 else x


class Chooses(Relu):
    """Takes some elements, by their values."""

    recordable = True

    def _apply(self, x: Any) -> Any:
        return super()._apply(x) + x[x > 0].sum()


class Escapes(Relu):
    """Computes where nobody sees it."""

    recordable = True

    def _apply(self, x: Any) -> Any:
        return torch.from_numpy(np.maximum(x.numpy() * 2, 0))


class Writes(Relu):
    """Writes into a buffer of its own."""

    recordable = True

    def __init__(self) -> None:
        super().__init__()
        self.buffer = torch.zeros(8)

    def _apply(self, x: Any) -> Any:
        self.buffer.add_(1)
        return super()._apply(x) + self.buffer


@pytest.mark.parametrize("kind", [Noisy, Counts, Looks, Chooses, Escapes, Writes])
def test_what_cannot_be_played_is_called(kind: Any) -> None:
    def net() -> Network:
        rng = np.random.default_rng(1)
        W1, W2 = (torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
                  for shape in ((784, 8), (8, 10)))
        return Network([Affine(W1, torch.zeros(8)), kind(), Affine(W2, torch.zeros(10))])

    optimizer, one, other = SGD(0.001), net(), net()
    played = PlayedFunction(step_of(one, optimizer))
    for (a, loss), (b, same) in zip(run(one, played, optimizer),
                                    run(other, step_of(other, optimizer), optimizer), strict=True):
        assert torch.equal(loss, same)  # also of Noisy: nothing is computed twice
        assert_same(a, b)
    assert played.refused
    assert played._program is None


def test_errors_are_those_of_the_plain_step() -> None:
    net, optimizer = multi(), SGD(0.1)
    played = PlayedFunction(step_of(net, optimizer))
    carry, arrays = carry_of(net, optimizer), data()
    rows = torch.arange(10)
    for _ in range(5):
        for wrong in ({**arrays, "x": arrays["x"][:, :5]}, {**arrays, "t": arrays["t"].float()}):
            with pytest.raises(ValueError, match="want"):
                played(carry, wrong, rows)
        with pytest.raises(IndexError):
            played(carry, arrays, rows + 100)
        carry, _ = played(carry, arrays, rows)
    assert played._program is not None


def play(function: Any, *args: Any) -> PlayedFunction:
    """Call a function often enough to be played, and compare."""
    played = PlayedFunction(function)
    for _ in range(5):
        found, expected = played(*args), function(*args)
        assert torch.equal(found, expected)
    return played


def test_what_is_written_into_is_not_shared() -> None:
    def writes(x: Any) -> Any:
        a, b = x + 1, x + 1
        a[0] = 5
        c = torch.zeros_like(x)
        d = torch.zeros_like(x).add_(c)
        return a + b + d + (b[1:].mul_(3)).sum() + b

    assert play(writes, torch.arange(3.0))._program is not None


def test_what_is_given_is_not_constant() -> None:
    ones = torch.ones(3)
    played = play(lambda x: torch.arange(3.0, device=x.device), ones)
    played(ones).add_(7)
    assert torch.equal(played(ones), torch.arange(3.0))
    with torch.enable_grad():
        assert not played(ones.requires_grad_()).requires_grad


@pytest.mark.parametrize("function", [
    lambda x: x.add_(0), lambda x: x[:1].mul_(1), lambda x: x * len(x.tolist()),
    lambda x: x if x.sum() > 0 else -x, lambda x: torch.nonzero(x),
], ids=["writes", "writes into a view", "lists", "asks", "finds"])
def test_functions_that_cannot_be_played(function: Any) -> None:
    assert play(function, torch.ones(3)).refused


def test_one_tensor_given_twice_is_no_recording_of_two() -> None:
    played, x = PlayedFunction(lambda a, b: a - 2 * b), torch.ones(3)
    for _ in range(4):
        assert torch.equal(played(x, x), -x)
    assert torch.equal(played(x, 3 * x), -5 * x)


def test_predictions_are_played() -> None:
    net = multi(use_batchnorm=True)
    predictor, x = Predictor(net), BACKEND.asarray(X)
    expected = net.with_kernels(BACKEND.kernels).predict(x[:7])
    for _ in range(5):
        assert torch.equal(predictor(x[:7]), expected)
    assert cast(PlayedFunction, predictor._scores)._program is not None


def test_fit_plays() -> None:
    nets = [multi(use_dropout=True) for _ in range(2)]
    losses = [fit(net, BACKEND.asarray(X), BACKEND.asarray(T), optimizer=optimizer, epochs=2,
                  batch_size=10, progress=False).epochs[-1].loss
              for net, optimizer in zip(nets, (Adam(), Unknown()), strict=True)]
    assert losses[0] == losses[1]
    assert_same(nets[0].params, nets[1].params)


class Unknown(Adam):
    """Not said to be recordable."""
