"""Steps of training that are CUDA graphs, and what predicts; `-m cuda`, on a GPU or the CPU's stand-in."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from small_training import assert_equal, network, problem, train, without_times
from variants import Variant, make, params

from xpnet import SGD, Adam, CosineDecay, Momentum, MultiLayerNet, Predictor, TwoLayerNet
from xpnet.layers import Relu
from xpnet.networks import Network
from xpnet.optimizers import Optimizer
from xpnet.training.batches import first_counter
from xpnet.training.step import first_carry, training_step, with_kernels


@pytest.fixture(params=params("cupy"))
def xp(request: pytest.FixtureRequest) -> Variant:
    return make(request.param)


@pytest.fixture(autouse=True)
def with_cublaslt(xp: Variant) -> None:
    from xpnet_backends.cupy_cublaslt import unavailable

    if reason := unavailable():
        pytest.skip(reason)  # then what has a product in it is not captured


def both(xp: Variant, net: Any, optimizer: Any, steps: int = 6) -> Any:
    """Take steps as `fit` does, and by the plain layers."""
    x, t = problem(xp)
    found = []
    for plain in (True, False):
        backend = xp.backend
        step = training_step(net if plain else net.with_kernels(backend.kernels),
                             optimizer if plain else with_kernels(optimizer, backend), False)
        step = step if plain else backend.compile(step, donate=True, record=True)
        carry, losses = first_carry(net, optimizer, backend.asarray(first_counter(3))), []
        for k in range(steps):
            rows = xp.asarray(np.arange(10 * k, 10 * k + 10) % 60)
            carry, loss = step(carry, {"x": x, "t": t}, rows)
            losses.append(loss)
        found.append((carry, losses, step))
    return found


@pytest.mark.parametrize("optimizer", [SGD(0.1), Adam(CosineDecay(0.01, steps=5), clip_norm=1.0)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_step_is_captured_and_is_that_of_the_layers(xp: Variant, optimizer: Any, dtype: str) -> None:
    from xpnet_backends.cupy_backend import _adjacent

    nets = (TwoLayerNet(2, 16, 3, "he", seed=0, backend=xp.backend, dtype=dtype),
            MultiLayerNet(2, [8, 9], 3, use_dropout=True, use_batchnorm=True, weight_decay_lambda=0.1,
                          seed=0, backend=xp.backend, dtype=dtype))
    rtol, atol = (1e-4, 1e-4) if dtype == "float32" else (1e-9, 1e-9)
    for net in nets:
        (expected, losses, _), (found, others, step) = both(xp, net, optimizer)
        assert step.refused == ""
        assert len(step.graphs) == 2
        assert [len(part) for part in _adjacent(others)] == [1, len(others) - 1]  # read at one go, but for the first
        xp.check_all(others, [xp.backend.to_numpy(loss) for loss in losses], rtol=rtol, atol=atol)
        for key in ("params", "state"):
            for name, a in expected[key].items():
                if dtype == "float64" or not name.startswith("b"):  # whose gradients before a normalisation are roundings
                    xp.check(found[key][name], xp.backend.to_numpy(a), rtol=rtol, atol=100 * atol)
        assert [*xp.backend.to_numpy(found["counter"])] == [3, 6]


class Wrapping(Optimizer):
    """An optimiser made of others."""

    recordable = True
    others: tuple[Optimizer, ...]

    def __init__(self, *others: Optimizer) -> None:
        vars(self).update(others=others)

    def with_kernels(self, kernels: Any) -> Any:
        return type(self)(*(other.with_kernels(kernels) for other in self.others))

    def direction(self, g: Any, *memory: Any, **numbers: Any) -> Any:
        raise NotImplementedError

    def init(self, params: Any) -> Any:
        return {str(k): other.init(params) for k, other in enumerate(self.others)}


class Mean(Wrapping):
    def update(self, params: Any, grads: Any, state: Any, *, stack_axes: int = 0) -> Any:
        found = [other.update(params, grads, state[str(k)]) for k, other in enumerate(self.others)]
        return ({name: sum(p[name] for p, _ in found) / len(found) for name in params},
                {str(k): each for k, (_, each) in enumerate(found)})


class Lookahead(Wrapping):
    """What is carried elsewhere is what would lie in the parameters' place."""

    def init(self, params: Any) -> Any:
        return {**super().init(params), "fast": {name: p + 0 for name, p in params.items()}}

    def update(self, params: Any, grads: Any, state: Any, *, stack_axes: int = 0) -> Any:
        fast, own = self.others[0].update(params, grads, state["0"])
        return {name: p + 0.5 * (fast[name] - p) for name, p in params.items()}, {"0": own, "fast": fast}


@pytest.mark.parametrize("optimizer", [Mean(SGD(0.5), Adam(0.1)), Lookahead(Momentum(0.3)),
                                       Lookahead(SGD(0.5))], ids=lambda o: type(o).__name__)
def test_optimisers_made_of_others(xp: Variant, optimizer: Any) -> None:
    (expected, losses, _), (found, others, step) = both(xp, network(xp), optimizer)
    assert step.refused == ""
    xp.check_all(others, [xp.backend.to_numpy(loss) for loss in losses], rtol=1e-10)
    for name, p in expected["params"].items():
        xp.check(found["params"][name], xp.backend.to_numpy(p), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("sizes", [(2, 1), (1, 4, 1), (2, 1, 1, 3), (2, 16, 3)])
@pytest.mark.parametrize("rows", [1, 5])
def test_the_narrowest_networks(xp: Variant, sizes: Any, rows: int) -> None:
    from xpnet.layers import Affine
    from xpnet.losses import MeanSquaredError

    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((rows, sizes[0])), rng.standard_normal((rows, sizes[-1]))
    found = []
    for dtype in ("float64", "float32"):
        layers: list[Any] = []
        for D, M in itertools.pairwise(sizes):
            W, b = (np.random.default_rng(D * M).standard_normal(shape) for shape in ((D, M), (M,)))
            layers += [Affine(xp.asarray(W, dtype), xp.asarray(b, dtype)), Relu()]
        net = Network(layers[:-1], MeanSquaredError())
        for plain in (True, False):
            each = net if plain else net.with_kernels(xp.backend.kernels)
            loss, grads = each.loss_and_gradient(xp.asarray(x, dtype), xp.asarray(t, dtype))
            found.append({"loss": loss, **grads})
    right, *others = found
    for other in others:
        for name, a in right.items():
            xp.check(xp.namespace.astype(other[name], xp.namespace.float64), xp.backend.to_numpy(a),
                     rtol=1e-4, atol=1e-5)


def test_nan_is_not_hidden_by_predictions(xp: Variant) -> None:
    x = np.ones((3, 2))
    x[1] = np.nan
    for dtype in ("float32", "float64"):
        net = TwoLayerNet(2, 16, 3, seed=0, backend=xp.backend, dtype=dtype)
        for predict in (Predictor(net), net.with_kernels(xp.backend.kernels).predict):
            for _ in range(3):
                y = xp.backend.to_numpy(predict(xp.asarray(x, dtype)))
                np.testing.assert_array_equal(np.isnan(y).all(axis=1), [False, True, False])


@pytest.mark.parametrize(("optimizer", "seed"), [
    (SGD(0.1), [0, 1, 2]), (Adam(0.01, clip_norm=1.0), [0, 1]),
    (SGD([0.01 * k for k in range(1, 21)]), list(range(20))), (SGD([CosineDecay(0.1, steps=9), 0.2]), [0, 0]),
], ids=["ensemble", "Adam", "20 rates", "a schedule"])
def test_stacks_are_captured(xp: Variant, optimizer: Any, seed: list[int]) -> None:
    x, t = problem(xp)
    net = TwoLayerNet(2, 16, 3, "he", seed=seed, backend=xp.backend, dtype="float64")
    found = []
    for plain in (True, False):
        backend = xp.backend
        step = training_step(net if plain else net.with_kernels(backend.kernels),
                             optimizer if plain else with_kernels(optimizer, backend), True)
        step = step if plain else backend.compile(step, donate=True, record=True)
        carry = first_carry(net, optimizer, backend.asarray(first_counter(3)))
        for k in range(5):
            carry, loss = step(carry, {"x": x, "t": t}, xp.asarray(np.arange(10 * k, 10 * k + 10)))
        found.append((loss, carry["params"]))
    assert step.refused == ""  # type: ignore[attr-defined]
    assert len(step.graphs) == 2  # type: ignore[attr-defined]
    xp.check(found[1][0], xp.backend.to_numpy(found[0][0]), rtol=1e-10)
    for name, p in found[0][1].items():
        xp.check(found[1][1][name], xp.backend.to_numpy(p), rtol=1e-9, atol=1e-12)


def test_labels_of_another_library_are_refused(xp: Variant) -> None:
    x, _ = problem(xp)
    for kernels in ({}, xp.backend.kernels):
        with pytest.raises(TypeError, match="arrays of one array-API library are wanted"):
            network(xp).with_kernels(kernels).loss_and_gradient(x, np.zeros(60, int))


def test_a_layer_that_is_not_recordable_trains(xp: Variant) -> None:
    class Mine(Relu):
        pass

    x, t = problem(xp)
    histories = []
    for layer in (Relu, Mine):
        own = network(xp)
        net = Network([own.layers["Affine1"], layer(), own.layers["Affine2"]])
        assert net.is_recordable() == (layer is Relu)
        histories.append(train(net, x, t))
    a, b = (np.array([e.loss for e in history.epochs]) for history in histories)
    np.testing.assert_allclose(a, b, rtol=1e-10)


def test_runs_are_the_same_each_time(xp: Variant) -> None:
    x, t = problem(xp)
    one, other = network(xp), network(xp)
    assert without_times(train(one, x, t)) == without_times(train(other, x, t))
    assert_equal(one, other)


def test_a_predictor_is_captured(xp: Variant) -> None:
    net = network(xp)
    predict = Predictor(net)
    for seed in range(4):
        x = np.random.default_rng(seed).standard_normal((7, 2))
        xp.check(predict(xp.asarray(x)), xp.backend.to_numpy(net.predict(xp.asarray(x))), rtol=1e-12)
    assert len(predict._scores.graphs) == 1  # type: ignore[attr-defined]
