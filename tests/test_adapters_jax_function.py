"""Layers, networks and losses as functions of JAX's arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp
from adapted import CASES, LOSSES, normal
from small_training import deep_network
from variants import make

from xpnet import (
    SGD,
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    MeanSquaredError,
    MultiLayerNet,
    Network,
    SoftmaxWithLoss,
    TwoLayerNet,
)
from xpnet.adapters import from_jax, to_jax
from xpnet.layers.composite import run_forward

jax.config.update("jax_enable_x64", True)

COUNTER = jnp.asarray([5, 2], dtype=jnp.int32)
X = normal(4, 6)
each_case = pytest.mark.parametrize("name", CASES)


def near(found: Any, expected: Any) -> None:
    """Compare arrays in nested containers, to rounding, of the largest element."""
    __tracebackhide__ = True
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        size = max(1.0, float(np.abs(b).max(initial=0)))
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13 * size)


def on_jax(arrays: Any) -> dict[str, Any]:
    return {name: jnp.asarray(np.asarray(a)) for name, a in arrays.items()}


@pytest.mark.parametrize("train", [True, False], ids=["train", "inference"])
@each_case
def test_gradients_are_those_that_jax_finds(name: str, train: bool) -> None:
    layer, x = CASES[name].make(), jnp.asarray(CASES[name].inputs[0])
    f, params, state = to_jax(layer), on_jax(layer.params), on_jax(layer.state)

    def plain(params: Any, x: Any) -> Any:
        bound = layer.bind(params, state, COUNTER)
        return run_forward(bound, x, train), dict(bound.state)

    def adapted(params: Any, x: Any) -> Any:
        found = f(params, x, counter=COUNTER, train_flg=train)
        return found if state and train else (found, state)

    dout = normal(*jax.eval_shape(plain, params, x)[0].shape)

    @jax.jit  # type: ignore[untyped-decorator]
    def both(params: Any, x: Any, dout: Any) -> Any:
        found = []
        for run in (adapted, plain):
            y, pull, new_state = jax.vjp(run, params, x, has_aux=True)
            found.append((y, new_state, pull(dout)))
        return found

    near(*both(params, x, dout))


@pytest.mark.parametrize("name", ["Affine", "BatchNormalization", "Dropout"])
def test_it_need_not_be_compiled(name: str) -> None:
    layer, x = CASES[name].make(), jnp.asarray(CASES[name].inputs[0])
    f, params = to_jax(layer), on_jax(layer.params)
    grads, dx = jax.grad(lambda params, x: jnp.sum(f(params, x) ** 2), argnums=(0, 1))(params, x)
    flg = {"train_flg": False} if layer.has_train_flg else {}
    near(dx, layer.backward(2 * layer.forward(np.asarray(x), **flg)))
    near(grads, layer.grads)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_have_the_gradients_that_jax_finds(name: str) -> None:
    for case in LOSSES[name]:
        f, (x, *others) = to_jax(case.make()), map(jnp.asarray, case.inputs)
        own = case.make()
        if isinstance(own, SoftmaxWithLoss) and own.class_weights is not None:
            own.class_weights = jnp.asarray(own.class_weights)
        expected = jax.jit(jax.value_and_grad(
            lambda x, own=own, others=others: own.bind().forward(x, *others)))(x)
        near(jax.jit(jax.value_and_grad(f))(x, *others), expected)
        assert expected[0].shape == ()


@each_case
def test_there_and_back_again(name: str) -> None:
    layer, x = CASES[name].make(), CASES[name].inputs[0]
    f, flg = to_jax(layer), {"train_flg": False} if layer.has_train_flg else {}
    other = from_jax(f, on_jax(layer.params))
    y = layer.forward(x, **flg)
    dout = normal(*y.shape)

    @jax.jit  # type: ignore[untyped-decorator]
    def run(params: Any, x: Any, dout: Any) -> Any:
        bound = other.bind(params)
        return bound.forward(x), bound.backward(dout), bound.grads

    near(run(dict(other.params), x, dout), (y, layer.backward(dout), layer.grads))


def test_training_with_it_is_training_in_xpnet() -> None:
    net = deep_network(make("jax"))
    f, loss_of, optimizer = to_jax(net), to_jax(net.last_layer), SGD(0.3)
    x, t = jnp.asarray(normal(20, 2)), jnp.asarray(np.arange(20) % 3)

    @jax.jit  # type: ignore[untyped-decorator]
    def ours(params: Any, state: Any, counter: Any) -> Any:
        bound = net.bind(params, state, counter)
        loss, grads = bound.loss_and_gradient(x, t)
        return optimizer.update(params, grads, optimizer.init(params))[0], dict(bound.state), loss

    def step(carry: Any, counter: Any) -> Any:
        params, state = carry

        def loss(params: Any) -> Any:
            y, new_state = f(params, x, state=state, counter=counter, train_flg=True)
            return loss_of(y, t), new_state

        (value, state), grads = jax.value_and_grad(loss, has_aux=True)(params)
        return (jax.tree.map(lambda p, g: p - 0.3 * g, params, grads), state), value

    params, state, losses = dict(net.params), dict(net.state), []
    counters = jnp.asarray([[5, k] for k in range(4)], dtype=jnp.int32)
    found, in_loop = jax.lax.scan(step, (params, state), counters)  # compiled, in a loop of JAX's
    for counter in counters:
        params, state, loss = ours(params, state, counter)
        losses.append(loss)
    np.testing.assert_allclose(in_loop, losses, rtol=1e-10)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves((params, state)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    net.params.update(found[0])
    net.state.update(found[1])
    near(net.predict(x), f(found[0], x, state=found[1]))


def test_vmap() -> None:
    net = CASES["SimpleConvNet"].make()
    f, loss_of, params = to_jax(net), to_jax(net.last_layer), on_jax(net.params)
    x, t = jnp.asarray(normal(3, 2, 2, 6, 6)), jnp.asarray([[0, 1], [1, 2], [2, 0]])

    def loss(params: Any, x: Any, t: Any) -> Any:
        return loss_of(f(params, x), t)

    both = jax.value_and_grad(loss)
    found, one = jax.jit(jax.vmap(both, in_axes=(None, 0, 0)))(params, x, t), jax.jit(both)
    for k in range(3):
        near(jax.tree.map(lambda a, k=k: a[k], found), one(params, x[k], t[k]))


def test_the_backward_itself_can_be_differentiated() -> None:
    net = Network([Affine(normal(6, 5), normal(5))])
    f, params, x = to_jax(net), on_jax(net.params), jnp.asarray(X)

    def penalty(g: Any) -> Any:
        return lambda x: jnp.sum(jax.grad(lambda x: jnp.sum(jnp.tanh(g(x))))(x) ** 2)

    near(jax.grad(penalty(lambda x: f(params, x)))(x), jax.grad(penalty(lambda x: x @ params["W1"] + params["b1"]))(x))


def test_state_and_counter() -> None:
    net = MultiLayerNet(6, [5], 3, use_dropout=True, use_batchnorm=True, seed=0, dtype="float64")
    f, params, x = to_jax(net), on_jax(net.params), jnp.asarray(X)
    y, state = f(params, x, counter=COUNTER, train_flg=True)
    again, _ = f(params, x, counter=COUNTER, train_flg=True)
    other, _ = f(params, x, counter=COUNTER + 1, train_flg=True)
    near(again, y)
    assert np.abs(np.asarray(y - other)).max() > 1e-3
    bound = net.bind({}, counter=np.asarray(COUNTER))
    near(y, bound.predict(X, train_flg=True))
    near(state, dict(bound.state))
    near(f(params, x), net.predict(X))  # with its own state
    near(f(params, x, state=state), net.bind({}, {k: np.asarray(s) for k, s in state.items()}).predict(X))
    with pytest.raises(ValueError, match=r"MultiLayerNet draws random numbers in training and wants a counter"):
        f(params, x, train_flg=True)


def test_a_stack_is_a_stack() -> None:
    stack = TwoLayerNet(6, 5, 3, "he", seed=[1, 2], dtype="float64")
    f, loss_of = to_jax(stack), to_jax(stack.last_layer)
    t = jnp.asarray([0, 2, 1, 1])
    grads = jax.jit(jax.grad(lambda p: jnp.sum(loss_of(f(p, jnp.asarray(X)), t))))(on_jax(stack.params))
    for k in range(2):
        near({name: g[k] for name, g in grads.items()}, on_jax(stack.member(k).gradient(X, np.asarray(t))))


def test_a_network_casts_its_input() -> None:
    net = TwoLayerNet(6, 5, 3, seed=0, dtype="float64")
    f, params = to_jax(net), on_jax(net.params)
    rows = np.arange(24, dtype="uint8").reshape(4, 6)
    near(f(params, jnp.asarray(rows)), net.predict(rows))
    x = jnp.asarray(X, dtype=jnp.float32)
    assert jax.grad(lambda x: jnp.sum(f(params, x)))(x).dtype == jnp.float32


def test_compiled_it_costs_no_second_forward() -> None:
    net = TwoLayerNet(78, 50, 10, backend="jax")
    f, loss_of, params = to_jax(net), to_jax(net.last_layer), dict(net.params)
    x, t = jnp.ones((10, 78)), jnp.zeros(10, dtype=int)
    costs = [jax.jit(run).lower(params, x).compile().cost_analysis()["flops"] for run in (
        lambda params, x: net.bind(params).loss_and_gradient(x, t),
        jax.value_and_grad(lambda params, x: loss_of(f(params, x), t)))]
    assert costs[1] <= 1.001 * costs[0]


def test_the_thing_is_left_as_it_is() -> None:
    norm = BatchNormalization(np.ones(6), np.zeros(6))
    before = dict(vars(norm))
    to_jax(norm)(on_jax(norm.params), jnp.asarray(X), train_flg=True)
    assert all(vars(norm)[name] is value for name, value in before.items())


def test_bad_input() -> None:
    layer = Affine(normal(6, 5), normal(5))
    f, params, x = to_jax(layer), on_jax(layer.params), jnp.asarray(X)
    with pytest.raises(TypeError, match="Affine wants arrays of JAX's; x is ndarray"):
        f(params, X)
    with pytest.raises(TypeError, match="Affine wants arrays of JAX's; W is ndarray"):
        f(dict(layer.params), x)
    with pytest.raises(ValueError, match="Affine wants all its parameters; got none for b"):
        f({"W": params["W"]}, x)
    with pytest.raises(KeyError, match="no parameter 'c'; there are W, b"):
        f({**params, "c": x}, x)
    with pytest.raises(ValueError, match=r"Affine wants x of shape \(N, 6\) .* got \(4, 5\)"):
        f(params, x[:, :5])
    with pytest.raises(ValueError, match="Dropout draws random numbers"):
        to_jax(Dropout(0.5))({}, x, train_flg=True)
    loss_of = to_jax(MeanSquaredError())
    with pytest.raises(TypeError, match="MeanSquaredError wants arrays of JAX's; t is ndarray"):
        loss_of(x, X)
    for argument, name in ((1, "t"), (2, "sample_weight")):
        with pytest.raises(TypeError, match=rf"no gradient of {name}: pass jax.lax.stop_gradient\({name}\)"):
            jax.grad(loss_of, argnums=argument)(x, x, jnp.ones(4))
    near(jax.grad(lambda x: loss_of(x, jax.lax.stop_gradient(2 * x)))(x), -2 * x / 24)
    with pytest.raises(TypeError, match="custom_vjp"):
        jax.jvp(lambda x: f(params, x), (x,), (x,))


def test_images() -> None:
    layer = Convolution(normal(3, 2, 3, 3), normal(3), pad=1)
    x = jnp.asarray(normal(2, 2, 5, 5))
    params = on_jax(layer.params)
    grads = jax.jit(jax.grad(lambda p: jnp.sum(to_jax(layer)(p, x) ** 2)))(params)
    expected = jax.jit(jax.grad(lambda p: jnp.sum((jax.lax.conv(x, p["W"], (1, 1), "SAME")
                                                   + p["b"][:, None, None]) ** 2)))(params)
    near(grads, expected)
