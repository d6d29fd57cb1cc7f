"""Functions of JAX's arrays as layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp

from xpnet import (
    SGD,
    MeanSquaredError,
    Network,
    Relu,
    Sequential,
    evaluate,
    fit,
    load_weights,
    save_weights,
)
from xpnet.adapters import from_jax
from xpnet.testing import check_layer
from xpnet.training.batches import epoch_batches

jax.config.update("jax_enable_x64", True)
RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.standard_normal((8, 6)))


def dense(params: Any, x: Any) -> Any:
    for layer in params["layers"]:
        x = jnp.tanh(x @ layer["W"] + layer["b"])
    return x * params["scale"]


def arrays() -> Any:
    rng = np.random.default_rng(1)
    return {"scale": np.full(3, 2.0), "layers": [
        {"W": rng.standard_normal((d, m)), "b": jnp.asarray(rng.standard_normal(m))} for d, m in ((6, 5), (5, 3))]}


NAMES = ["layers.0.W", "layers.0.b", "layers.1.W", "layers.1.b", "scale"]


def test_gradients_are_jaxs() -> None:
    layer, params = from_jax(dense, arrays()), jax.tree.map(jnp.asarray, arrays())
    assert list(layer.params) == NAMES
    assert not Sequential([layer]).is_recordable()
    dout = jnp.asarray(RNG.standard_normal((8, 3)))
    y, pull = jax.vjp(dense, params, X)
    grads, dx = pull(dout)
    assert jnp.array_equal(layer.forward(X), y)
    assert jnp.array_equal(layer.backward(dout), dx)
    assert jnp.array_equal(layer.backward(dout), dx)  # once more
    for name, g in zip(NAMES, jax.tree.leaves(grads), strict=True):
        assert jnp.array_equal(layer.grads[name], g)

    @jax.jit  # type: ignore[untyped-decorator]
    def run(params: Any, x: Any) -> Any:
        bound = layer.bind(params)
        return bound.forward(x), bound.backward(dout), bound.grads

    y, dx, found = run(dict(layer.params), X)
    np.testing.assert_allclose(dx, layer.backward(dout), rtol=1e-12, atol=1e-14)
    for name in NAMES:
        np.testing.assert_allclose(found[name], layer.grads[name], rtol=1e-12, atol=1e-14)


def test_fit_is_training_in_jax(tmp_path: Path) -> None:
    t = jnp.asarray([0, 2, 1, 1, 0, 2, 0, 1])
    net = Network([from_jax(dense, arrays()), Relu(), from_jax(lambda p, x: x @ p["W"], {"W": np.eye(3)})])
    assert list(net.params) == [*(f"{name}1" for name in NAMES), "W1"]
    history = fit(net, X, t, optimizer=SGD(0.3), epochs=3, batch_size=4, seed=2, progress=False)
    params = jax.tree.map(jnp.asarray, (arrays(), {"W": np.eye(3)}))

    def scores(params: Any, x: Any) -> Any:
        return jnp.maximum(dense(params[0], x), 0) @ params[1]["W"]

    def loss(params: Any, x: Any, t: Any) -> Any:
        return -jnp.mean(jax.nn.log_softmax(scores(params, x))[jnp.arange(len(t)), t])

    step, losses = jax.jit(jax.value_and_grad(loss)), []
    for epoch in (1, 2, 3):
        for rows in epoch_batches(8, 4, 2, epoch):
            value, grads = step(params, X[rows], t[rows])
            params = jax.tree.map(lambda p, g: p - 0.3 * g, params, grads)
            losses.append(float(value))
    np.testing.assert_allclose([e.loss for e in history.epochs], np.reshape(losses, (3, 2)).mean(1), rtol=1e-10)
    np.testing.assert_allclose(net.predict(X), scores(params, X), rtol=1e-9, atol=1e-12)
    assert evaluate(net, X, t)["loss"] == pytest.approx(float(loss(params, X, t)), rel=1e-9)
    pytest.importorskip("safetensors")
    save_weights(tmp_path / "w.safetensors", net)
    other = Network([from_jax(dense, arrays()), Relu(), from_jax(lambda p, x: x @ p["W"], {"W": np.eye(3)})])
    load_weights(tmp_path / "w.safetensors", other)
    assert jnp.array_equal(other.predict(X), net.predict(X))


def test_what_was_learnt_comes_back() -> None:
    layer = from_jax(dense, arrays())
    net = Network([layer], MeanSquaredError())
    fit(net, X, X[:, :3], optimizer=SGD(0.1), epochs=1, batch_size=4, progress=False)
    learnt = jax.tree.unflatten(jax.tree.structure(arrays()), layer.params.values())
    assert jnp.array_equal(dense(learnt, X), net.predict(X))
    assert not np.allclose(learnt["scale"], 2)


def test_what_is_not_floating_is_state() -> None:
    layer = from_jax(lambda p, x: x[:, p["rows"]] * p["g"], {"rows": np.array([2, 0]), "g": np.ones(2)})
    assert list(layer.params) == ["g"]
    assert list(layer.state) == ["rows"]
    assert jnp.array_equal(layer.forward(X), X[:, jnp.array([2, 0])])
    assert jnp.array_equal(layer.backward(jnp.ones((8, 2))).sum(0), jnp.array([8.0, 0, 8, 0, 0, 0]))
    embedding = from_jax(lambda p, rows: p["W"][rows], {"W": np.eye(3)})
    embedding.forward(jnp.array([2, 2]))
    assert embedding.backward(jnp.ones((2, 3))) is None
    assert jnp.array_equal(embedding.grads["W"], jnp.array([[0.0] * 3, [0] * 3, [2] * 3]))


def test_layer_and_gradient_checks() -> None:
    report = check_layer(from_jax(dense, arrays()), X, skip=["read-only", "non-contiguous", "torch meta", "torch autograd",
                                         "array-api-strict"])
    assert report, str(report)


def test_refusals() -> None:
    with pytest.raises(TypeError, match="JaxLayer wants a function of parameters and input; got 3"):
        from_jax(3, {})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"JaxLayer wants arrays of JAX's or NumPy's .*; 'a.0' is float"):
        from_jax(dense, {"a": [1.0]})
    for params in (np.ones(3), {"name": np.ones(1)}, {"b": np.ones(1), "db": np.ones(1)}):
        with pytest.raises(ValueError, match=r"JaxLayer wants parameters of other names: .*two attributes"):
            from_jax(dense, params)
    with pytest.raises(ValueError, match=r"JaxLayer wants places with names of their own; got 'a\.b', 'a\.b'"):
        from_jax(dense, {"a.b": np.ones(1), "a": {"b": np.ones(1)}})
    layer = from_jax(dense, arrays())
    with pytest.raises(RuntimeError, match=r"JaxLayer.backward wants a forward before it"):
        layer.backward(X)
    with pytest.raises(TypeError, match="JaxLayer wants an array of JAX's; got ndarray"):
        layer.forward(np.ones((8, 6)))
    with pytest.raises(TypeError, match=r"JaxLayer got a tracer .* bind"):
        jax.jit(layer.forward)(X)
    with pytest.raises(TypeError, match="JaxLayer wants a function that gives an array; got tuple"):
        from_jax(lambda p, x: (x, x), {}).forward(X)
    layer.forward(X)
    with pytest.raises(ValueError, match=r"JaxLayer wants dout of shape \(8, 3\); got \(8, 6\)"):
        layer.backward(X)
    with pytest.raises(ValueError, match="JaxLayer computes for one network, and not for a stack"):
        layer.bind({"scale": jnp.ones((2, 3))}).forward(X)
