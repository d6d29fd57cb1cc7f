"""MultiLayerNet, SimpleConvNet and DeepConvNet: the book's shapes and names, and the gradients."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from autograd import gradients
from numpy.typing import NDArray
from variants import Variant, make, params

from xpnet import DeepConvNet, MultiLayerNet, SimpleConvNet, TwoLayerNet
from xpnet.testing import check_gradients

RNG = np.random.default_rng(0)
ROWS, T = RNG.standard_normal((6, 12)), RNG.integers(0, 3, 6)
IMAGES = RNG.standard_normal((4, 2, 9, 9))
SMALL = {"filter_num": 3, "filter_size": 3, "pad": 1, "stride": 1}


def shapes(net: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(p.shape) for name, p in net.params.items()}


def host(net: Any) -> list[NDArray[Any]]:
    return [np.asarray(p) for p in net.params.values()]


def test_the_books_shapes_and_names() -> None:
    simple, deep = SimpleConvNet(seed=0), DeepConvNet(seed=0)
    assert list(simple.layers) == ["Convolution1", "Relu1", "MaxPooling1", "Affine1", "Relu2",
                                   "Affine2"]
    assert shapes(simple) == {"W1": (30, 1, 5, 5), "b1": (30,), "W2": (4320, 100), "b2": (100,),
                              "W3": (100, 10), "b3": (10,)}
    assert simple.params["W2"].std() == pytest.approx(0.01, rel=0.01)
    assert shapes(deep) == {
        "W1": (16, 1, 3, 3), "b1": (16,), "W2": (16, 16, 3, 3), "b2": (16,),
        "W3": (32, 16, 3, 3), "b3": (32,), "W4": (32, 32, 3, 3), "b4": (32,),
        "W5": (64, 32, 3, 3), "b5": (64,), "W6": (64, 64, 3, 3), "b6": (64,),
        "W7": (1024, 50), "b7": (50,), "W8": (50, 10), "b8": (10,)}
    assert deep.params["W7"].std() == pytest.approx(math.sqrt(2 / 1024), rel=0.01)
    assert [leaf.stream for leaf in deep.leaves() if leaf.draws] == [0, 1]
    net = MultiLayerNet(12, [7, 5], 3, use_dropout=True, use_batchnorm=True, seed=0)
    assert list(net.layers) == [
        "Affine1", "BatchNormalization1", "Relu1", "Dropout1",
        "Affine2", "BatchNormalization2", "Relu2", "Dropout2", "Affine3"]
    assert shapes(net) == {
        "W1": (12, 7), "b1": (7,), "gamma1": (7,), "beta1": (7,),
        "W2": (7, 5), "b2": (5,), "gamma2": (5,), "beta2": (5,), "W3": (5, 3), "b3": (3,)}
    assert shapes(MultiLayerNet(12, [], 3, seed=0)) == {"W1": (12, 3), "b1": (3,)}


@pytest.mark.parametrize("activation", ["sigmoid", "gelu"])
def test_a_multi_layer_net_is_autograds(xp: Variant, activation: str) -> None:
    net = MultiLayerNet(12, [7, 5], 3, activation, weight_decay_lambda=0.1, seed=0,
                        backend=xp.backend, dtype="float64")

    def loss(torch: Any, W1: Any, b1: Any, W2: Any, b2: Any, W3: Any, b3: Any) -> Any:
        f = {"sigmoid": torch.sigmoid,
             "gelu": lambda x: torch.nn.functional.gelu(x, approximate="tanh")}[activation]
        y = f(f(torch.as_tensor(ROWS) @ W1 + b1) @ W2 + b2) @ W3 + b3
        penalty = 0.05 * ((W1**2).sum() + (W2**2).sum() + (W3**2).sum())
        return torch.nn.functional.cross_entropy(y, torch.as_tensor(T)) + penalty

    torch = pytest.importorskip("torch")
    own = host(MultiLayerNet(12, [7, 5], 3, activation, seed=0))
    found, grads = xp.run(lambda x, t: net.bind({}).loss_and_gradient(x, t), ROWS, T)
    xp.check(found, loss(torch, *map(torch.as_tensor, own)).numpy(), rtol=1e-12)
    xp.check_all([grads[name] for name in net.params], gradients(loss, 1.0, own), rtol=1e-10,
                 atol=1e-14)
    xp.check(xp.run(lambda x, t: net.bind({}).loss(x, t), ROWS, T),
             loss(torch, *map(torch.as_tensor, own)).numpy(), rtol=1e-12)


def test_a_simple_conv_net_is_autograds(xp: Variant) -> None:
    def make(**options: Any) -> SimpleConvNet:
        param = {"filter_num": 3, "filter_size": 4, "pad": 1, "stride": 2}
        return SimpleConvNet((2, 9, 9), param, 5, 3, "he", seed=0, dtype="float64", **options)

    def loss(torch: Any, W1: Any, b1: Any, W2: Any, b2: Any, W3: Any, b3: Any) -> Any:
        f = torch.nn.functional
        h = f.max_pool2d(f.conv2d(torch.as_tensor(IMAGES), W1, b1, 2, 1).relu(), 2)
        y = (h.flatten(1) @ W2 + b2).relu() @ W3 + b3
        return f.cross_entropy(y, torch.as_tensor(T[:4]))

    net = make(backend=xp.backend)
    assert shapes(net)["W2"] == (12, 5)
    _, grads = xp.run(lambda x, t: net.bind({}).loss_and_gradient(x, t), IMAGES, T[:4])
    xp.check_all([grads[name] for name in net.params], gradients(loss, 1.0, host(make())),
                 rtol=1e-10, atol=1e-14)


def small_deep(seed: Any = 0, **options: Any) -> DeepConvNet:
    params: Any = {f"conv_param_{k}": SMALL for k in range(1, 7)}
    return DeepConvNet((2, 9, 9), **params, hidden_size=5, output_size=3, seed=seed,
                       dtype="float64", **options)


def test_a_deep_conv_net_infers_as_the_books() -> None:
    torch = pytest.importorskip("torch")
    net = small_deep()
    f, p = torch.nn.functional, [torch.as_tensor(a) for a in host(net)]
    h = torch.as_tensor(IMAGES)
    for k in range(6):
        h = f.conv2d(h, p[2 * k], p[2 * k + 1], padding=1).relu()
        if k % 2:
            h = f.max_pool2d(h, 2)
    y = 0.5 * ((0.5 * (h.flatten(1) @ p[12] + p[13]).relu()) @ p[14] + p[15])
    np.testing.assert_allclose(net.predict(IMAGES), y.numpy(), rtol=1e-12)
    trained = net.predict(IMAGES, train_flg=True)
    assert (trained == 0).any()
    assert (trained != net.predict(IMAGES, train_flg=True)).any()  # new masks


@pytest.mark.parametrize("variant", params("numpy", "strict", "torch", "cupy"))  # JAX: too many shapes
def test_members_of_a_stack_are_networks_of_their_seeds(variant: str) -> None:
    eager = make(variant)
    x, t = eager.asarray(IMAGES), eager.asarray(T[:4])

    stack = small_deep([5, 2], backend=eager.backend)
    loss, grads = stack.loss_and_gradient(x[None, ...], t)
    assert tuple(loss.shape) == (2,)
    for k, seed in enumerate((5, 2)):
        own, expected = small_deep(seed, backend=eager.backend).loss_and_gradient(x, t)
        eager.check(loss[k, ...], eager.backend.to_numpy(own), rtol=1e-12)
        for name, g in expected.items():
            eager.check(grads[name][k, ...], eager.backend.to_numpy(g), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("make", [
    lambda: (MultiLayerNet(12, [7, 5], 3, "tanh", "xavier", 0.1, True, 0.3, True, seed=1), ROWS, T),
    lambda: (small_deep(), IMAGES, T[:4]),
], ids=["MultiLayerNet", "DeepConvNet"])
@pytest.mark.parametrize("mode", ["random", "structured"])
def test_gradients(make: Any, mode: Any) -> None:
    net, x, t = make()
    report = check_gradients(net, x, t, mode=mode)
    assert report.verdict in ("correct", "imprecise"), report
    # What b1 and b2 add before a normalisation it takes away: their gradient is 0 but for rounding.
    unclear = {v.name for v in report.variables if v.verdict != "correct"}
    assert unclear <= ({"b1", "b2"} if "gamma1" in net.params else set()), report


N: Any = np.int64(3)
H: Any = np.float32(0.5)
YES: Any = np.True_


@pytest.mark.parametrize("net", [
    TwoLayerNet(N, N, N, seed=0),
    MultiLayerNet(N, N + np.arange(2), N, "relu", "he", H, YES, H, YES, seed=0),
    SimpleConvNet(N * np.arange(1, 4), {**SMALL, "pad": N}, N, N),
    DeepConvNet(tuple(N * np.arange(1, 4)), {**SMALL, "pad": N}, hidden_size=N, output_size=N),
], ids=lambda net: type(net).__name__)
def test_arguments_are_pythons_own(net: Any) -> None:
    again = type(net)(**json.loads(json.dumps(net.arguments)), seed=0)
    assert again.arguments == net.arguments
    assert shapes(again) == shapes(net)


wrong_net: Any = MultiLayerNet  # whose arguments are not those that its types ask for
wrong_conv: Any = SimpleConvNet


@pytest.mark.parametrize(("make", "message"), [
    (lambda: MultiLayerNet(12, [7], 3, "rleu"), r"activation to be one of relu, sigmoid, .*; got 'rleu'"),
    (lambda: wrong_net(12, [7], 3, ["relu"]), r"activation to be one of relu, .*; got \['relu'\]"),
    (lambda: MultiLayerNet(12, [7], 3, weight_decay_lambda=-1), "weight_decay_lambda of 0 or more; got -1"),
    (lambda: MultiLayerNet(12, [7], 3, weight_decay_lambda=math.inf),
     "weight_decay_lambda to be finite; got inf"),
    (lambda: wrong_net(12, [7], 3, weight_decay_lambda="a"), "weight_decay_lambda to be a number; got 'a'"),
    (lambda: MultiLayerNet(12, [7], 3, dropout_ration=1), "dropout_ration from 0 to below 1; got 1"),
    (lambda: MultiLayerNet(12, [0], 3), r"hidden_size_list to be a list of .* above 0; got \[0\]"),
    (lambda: wrong_net(12, 100, 3), "hidden_size_list to be a list of whole numbers above 0; got 100"),
    (lambda: wrong_net(12, "100", 3), "hidden_size_list to be a list of .* above 0; got '100'"),
    (lambda: wrong_net(12, [7], "3"), "output_size to be a whole number above 0; got '3'"),
    (lambda: SimpleConvNet((28, 28)), r"channels, height and width, as \(1, 28, 28\); got \(28, 28\)"),
    (lambda: wrong_conv(784), "channels, height and width, .*; got 784"),
    (lambda: SimpleConvNet((1, 0, 28)), r"channels, height and width, .*; got \(1, 0, 28\)"),
    (lambda: SimpleConvNet(conv_param={"filters": 3}),
     "conv_param to be a mapping of filter_num, .*; got {'filters': 3}"),
    (lambda: wrong_conv(conv_param=None), "conv_param to be a mapping of filter_num, .*; got None"),
    (lambda: SimpleConvNet(conv_param={**SMALL, "pad": -1}),
     '"pad" of conv_param to be a whole number from 0; got -1'),
    (lambda: SimpleConvNet(hidden_size=0), "hidden_size to be a whole number above 0; got 0"),
    (lambda: DeepConvNet(conv_param_3={**SMALL, "stride": 0}),
     '"stride" of conv_param_3 to be a whole number above 0; got 0'),
    (lambda: SimpleConvNet((1, 4, 4)), "windows of 5x5 are larger than the images that come there, 4x4"),
    (lambda: DeepConvNet((1, 2, 2)), "windows of 2x2 are larger"),
])
def test_bad_arguments(make: Callable[[], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()
