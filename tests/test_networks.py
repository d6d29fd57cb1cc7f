from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from autograd import gradients
from variants import Variant, installed

from xpnet import (
    SGD,
    Affine,
    MeanSquaredError,
    Network,
    Relu,
    Residual,
    SoftmaxWithLoss,
    TwoLayerNet,
)

NAMES = ["W1", "b1", "W2", "b2"]


def two_layer_net(xp: Variant, seed: Any = 0, dtype: str = "float64", std: Any = "he") -> TwoLayerNet:
    return TwoLayerNet(12, 7, 4, std, seed=seed, backend=xp.backend, dtype=dtype)


def data(rows: int = 6) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    return rng.standard_normal((rows, 12)), rng.integers(0, 4, rows)


def host_params(seed: int) -> list[Any]:
    net = TwoLayerNet(12, 7, 4, "he", seed=seed)
    return [net.params[name] for name in NAMES]


def torch_loss(x: Any, t: Any) -> Any:
    def loss(torch: Any, W1: Any, b1: Any, W2: Any, b2: Any) -> Any:
        h = torch.relu(torch.as_tensor(x) @ W1 + b1)
        return torch.nn.functional.cross_entropy(h @ W2 + b2, torch.as_tensor(t))
    return loss


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradient_is_autograds(xp: Variant, dtype: str) -> None:
    net = two_layer_net(xp, dtype=dtype)
    x, t = data()
    expected = gradients(torch_loss(x, t), 1.0, host_params(0))
    rtol, atol = (1e-10, 1e-14) if dtype == "float64" else (1e-4, 1e-6)

    def gradient(x: Any, t: Any) -> Any:
        return net.bind({}).gradient(x, t)

    for rows, labels in ((x, t), (x, np.eye(4)[t]), (x.reshape(6, 3, 4), t),
                         (x.astype("float32"), t)):
        near = {"rtol": 1e-4, "atol": 1e-6} if rows.dtype == np.float32 else {
            "rtol": rtol, "atol": atol}
        found = xp.run(gradient, rows, labels)
        assert set(found) == set(NAMES)  # jit sorts them
        xp.check_all([found[name] for name in NAMES], expected, dtype=dtype, **near)


def test_structure_and_defaults(eager: Variant) -> None:
    net = TwoLayerNet(784, 50, 10, backend=eager.backend)
    assert list(net.layers) == ["Affine1", "Relu1", "Affine2"]
    assert list(net.params) == NAMES
    assert [tuple(p.shape) for p in net.params.values()] == [(784, 50), (50,), (50, 10), (10,)]
    default = eager.namespace.asarray(1.0).dtype
    assert all(p.dtype == default for p in net.params.values())
    std = eager.backend.to_numpy(net.params["W1"]).std()
    assert std == pytest.approx(0.01, rel=0.02)


def test_it_says_what_it_is(eager: Variant) -> None:
    assert repr(two_layer_net(eager, seed=[3, 1])) == """TwoLayerNet
  Affine1: W1 (2, 12, 7), b1 (2, 7)
  Relu1
  Affine2: W2 (2, 7, 4), b2 (2, 4)
  SoftmaxWithLoss"""
    W, b = np.ones((2, 2)), np.ones(2)
    assert repr(Network([Affine(W, b), Residual([Affine(W, b)])], MeanSquaredError())) == """Network
  Affine1: W1 (2, 2), b1 (2,)
  Residual1.body.Affine1: W2 (2, 2), b2 (2,)
  MeanSquaredError"""


def test_predict_loss_accuracy(xp: Variant) -> None:
    net = two_layer_net(xp)
    x, t = data()
    W1, b1, W2, b2 = host_params(0)
    scores = np.maximum(x @ W1 + b1, 0) @ W2 + b2
    log_p = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    def all_three(x: Any, t: Any) -> Any:
        bound = net.bind({})
        return bound.predict(x), bound.loss(x, t), bound.accuracy(x, t)
    xp.check_all(xp.run(all_three, x, t), (
        scores, -log_p[np.arange(6), t].mean(), (scores.argmax(-1) == t).mean(),
    ), rtol=1e-12)


def test_a_stack_equals_its_members(xp: Variant) -> None:
    seeds = [3, 1, 4]
    stack = two_layer_net(xp, seed=seeds)
    x, t = data()

    def everything(x: Any, t: Any) -> Any:
        bound = stack.bind({})
        loss, grads = bound.loss_and_gradient(x, t)
        return bound.predict(x), loss, bound.accuracy(x, t), *(grads[n] for n in NAMES)

    found = xp.run(everything, x, t)
    assert tuple(found[1].shape) == (3,)
    for k, seed in enumerate(seeds):
        one = TwoLayerNet(12, 7, 4, "he", seed=seed)
        loss, grads = one.loss_and_gradient(x, t)
        expected = (one.predict(x), loss, one.accuracy(x, t), *(grads[n] for n in NAMES))
        xp.check_all([a[k, ...] for a in found], expected, rtol=1e-12, atol=1e-15)


def test_numpy_stacks_equal_their_members_exactly() -> None:
    x, t = data()
    _, grads = TwoLayerNet(12, 7, 4, seed=list(range(8))).loss_and_gradient(x, t)
    for k in range(8):
        _, one = TwoLayerNet(12, 7, 4, seed=k).loss_and_gradient(x, t)
        for name in NAMES:
            np.testing.assert_array_equal(grads[name][k], one[name])


@pytest.mark.parametrize("seed", [0, [3, 1]])
@pytest.mark.parametrize("kind", ["numbers", "rows", "images"])
def test_numerical_gradient_is_backpropagations(eager: Variant, seed: Any, kind: str) -> None:
    net = two_layer_net(eager, seed=seed)
    x, t = data(3)
    if kind == "images":
        x = x.reshape(3, 2, 6) if seed == 0 else x.reshape(1, 3, 2, 6)
    if kind == "rows":
        t = np.eye(4)[t] if seed else np.eye(4, dtype=int)[t]
    x, t = eager.asarray(x), eager.asarray(t)
    before = {name: eager.backend.to_numpy(p).copy() for name, p in net.params.items()}
    numerical, backprop = net.numerical_gradient(x, t), net.gradient(x, t)
    assert list(numerical) == NAMES
    for name in NAMES:
        eager.check(numerical[name], eager.backend.to_numpy(backprop[name]), rtol=1e-6, atol=1e-9)
        eager.check(net.params[name], before[name], rtol=0)


def test_numerical_gradient_of_a_stack_is_that_of_its_members() -> None:
    x, t = data(3)
    stack = TwoLayerNet(12, 7, 4, "he", seed=[3, 1]).numerical_gradient(x, t)
    for k, seed in enumerate((3, 1)):
        one = TwoLayerNet(12, 7, 4, "he", seed=seed).numerical_gradient(x, t)
        for name in NAMES:
            np.testing.assert_array_equal(stack[name][k], one[name])


def test_the_books_update_trains_on_every_library(eager: Variant) -> None:
    net = two_layer_net(eager)
    x, t = (eager.asarray(a) for a in data())
    losses = []
    for _ in range(30):
        grads = net.gradient(x, t)
        losses.append(float(net.last_layer.loss))
        for key in NAMES:
            net.params[key] -= 0.5 * grads[key]
    assert losses[-1] < 0.1 * losses[0]


def test_a_bound_network_leaves_the_network_alone(eager: Variant) -> None:
    net = two_layer_net(eager)
    x, t = (eager.asarray(a) for a in data())
    loss = float(net.loss(x, t))
    kept = net.layers["Affine1"].x  # type: ignore[attr-defined]
    optimizer = SGD(0.5)
    params = dict(net.params)
    params, _ = optimizer.update(params, net.bind(params).gradient(x, t), optimizer.init(params))
    assert float(net.bind(params).loss(x, t)) < loss
    assert float(net.loss(x, t)) == loss
    assert kept is not None
    net.params.update(params)
    assert float(net.loss(x, t)) < loss


@pytest.mark.skipif(not installed("jax"), reason="jax is not installed")
def test_jax_differentiates_and_compiles_a_bound_network() -> None:
    import jax

    net = TwoLayerNet(12, 7, 4, "he", seed=0, backend="jax", dtype="float64")
    x, t = map(jax.numpy.asarray, data())
    with jax.checking_leaks():
        found = jax.jit(lambda p: net.bind(p).gradient(x, t))(dict(net.params))
    expected = jax.grad(lambda p: net.bind(p).loss(x, t))(dict(net.params))
    for name in NAMES:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-10, atol=1e-14)
    with pytest.raises(TypeError, match=r"Affine1 got a tracer .* bind"):
        jax.jit(net.predict)(x)


def test_images_of_bytes_are_cast(eager: Variant) -> None:
    net = two_layer_net(eager)
    x = np.arange(24, dtype="uint8").reshape(2, 12)
    eager.check(net.predict(eager.asarray(x)),
                eager.backend.to_numpy(net.predict(eager.asarray(x.astype(float)))), rtol=0)


def test_bad_input(eager: Variant) -> None:
    net = two_layer_net(eager)
    x, t = data()
    with pytest.raises(ValueError, match=r"Affine1 wants x of shape \(N, 12\) .* got \(6, 11\)"):
        net.predict(eager.asarray(x[:, :11]))
    with pytest.raises(ValueError, match=r"class numbers .* want shape \(…, 6\); got \(5,\)"):
        net.loss(eager.asarray(x), eager.asarray(t[:5]))
    for no_array in (None, 3.0, [[1.0] * 12]):
        with pytest.raises(TypeError, match="TwoLayerNet wants x to be an array; got "):
            net.predict(no_array)
    if eager.backend.name != "numpy":
        with pytest.raises(TypeError, match="arrays of one array-API library are wanted"):
            net.predict(x)
    with pytest.raises(KeyError, match="no parameter 'W3'; there are W1, b1, W2, b2"):
        net.bind({"W3": eager.asarray(x)})


def test_a_stack_takes_images_and_integer_rows_with_its_axis(xp: Variant) -> None:
    net = two_layer_net(xp, seed=[3, 1])
    x, t = data()
    rows = np.eye(4, dtype=int)[t]
    loss = xp.run(lambda x, t: net.bind({}).loss(x, t), x.reshape(1, 6, 2, 6), rows[None])
    host = TwoLayerNet(12, 7, 4, "he", seed=[3, 1]).loss(x, t)
    xp.check(loss, host, rtol=1e-12)
    with pytest.raises(ValueError, match=r"want a stack axis too, t\[None, \.\.\.\]"):
        xp.run(lambda x, t: net.bind({}).loss(x, t), x, rows)


def test_a_network_without_parameters(eager: Variant) -> None:
    net = Network({"Relu1": Relu()}, SoftmaxWithLoss())
    eager.check(net.predict(eager.asarray([[1.0, -1.0]])), [[1.0, 0.0]])
    assert len(net.params) == 0


def test_the_last_layer_is_a_loss() -> None:
    for wrong in (3, "mse", MeanSquaredError):
        with pytest.raises(TypeError, match=r"Network wants a Loss for last_layer, an instance .* got"):
            Network([Relu()], wrong)  # type: ignore[arg-type]


def test_half_precision(eager: Variant) -> None:
    if not hasattr(eager.namespace, "bfloat16"):
        pytest.skip(f"{eager.backend.name} has no bfloat16")
    net = two_layer_net(eager, dtype="bfloat16")
    x, t = (eager.asarray(a) for a in data())
    loss, grads = net.loss_and_gradient(x, t)
    expected, exact = two_layer_net(eager).loss_and_gradient(x, t)
    assert loss.dtype == eager.namespace.bfloat16
    assert float(loss) == pytest.approx(float(expected), rel=2**-6)  # 8 bits, a few roundings
    for name, g in grads.items():
        far = eager.namespace.astype(g, eager.namespace.float64) - exact[name]
        largest = float(eager.namespace.max(eager.namespace.abs(exact[name])))
        assert float(eager.namespace.max(eager.namespace.abs(far))) < 2**-5 * largest


def test_nonsense_sizes_and_names() -> None:
    with pytest.raises(ValueError, match="hidden_size to be a whole number above 0; got 0"):
        TwoLayerNet(784, 0, 10)
    with pytest.raises(ValueError, match="no backend 'numpty'; available here: numpy"):
        TwoLayerNet(784, 50, 10, backend="numpty")
    with pytest.raises(ValueError, match="numpy has no dtype 'float17'"):
        TwoLayerNet(784, 50, 10, dtype="float17")
    with pytest.raises(TypeError, match="Affine wants a real floating dtype; got int64"):
        TwoLayerNet(784, 50, 10, dtype="int64")
