"""Sequential and Residual: layers made of layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from autograd import gradients
from variants import Variant

from xpnet import Affine, BatchNormalization, Dropout, Network, Relu, Residual, Sequential
from xpnet.initializers import Initializer
from xpnet.layers import Layer
from xpnet.testing import check_gradients, check_layer

X = np.random.default_rng(0).standard_normal((5, 4))
DOUT = np.random.default_rng(1).standard_normal((5, 4))


def nested(xp: Variant, seed: Any = 0) -> Sequential:
    """Make 4-4, a residual block 4-3-4 with a projection, and 4-4 again."""
    draw = Initializer(seed=seed, backend=xp.backend, dtype="float64")
    return Sequential([
        Affine(*draw.affine(4, 4)),
        Residual([Affine(*draw.affine(4, 3)), Relu(), Affine(*draw.affine(3, 4))],
                 shortcut=Affine(*draw.affine(4, 4))),
        Residual(Affine(*draw.affine(4, 4))),
    ])


def torch_nested(torch: Any, x: Any, *p: Any) -> Any:
    h = x @ p[0] + p[1]
    h = torch.relu(h @ p[2] + p[3]) @ p[4] + p[5] + h @ p[6] + p[7]
    return h @ p[8] + p[9] + h


def host_params(seed: int = 0) -> list[Any]:
    draw = Initializer(seed=seed)
    return [p for sizes in ((4, 4), (4, 3), (3, 4), (4, 4), (4, 4)) for p in draw.affine(*sizes)]


def test_it_is_the_composition(xp: Variant) -> None:
    layer = nested(xp)
    names = [f"{a}{k}" for k in range(1, 6) for a in ("W", "b")]
    assert list(layer.params) == names

    def both(x: Any, dout: Any) -> Any:
        bound = layer.bind({})
        y = bound.forward(x)
        dx = bound.backward(dout)
        return y, dx, [bound.grads[name] for name in names]

    y, dx, grads = xp.run(both, X, DOUT)
    torch = pytest.importorskip("torch")
    xp.check(y, torch_nested(torch, *map(torch.as_tensor, (X, *host_params()))).numpy(),
             rtol=1e-12)
    expected = gradients(torch_nested, DOUT, [X, *host_params()])
    xp.check_all([dx, *grads], expected, rtol=1e-10, atol=1e-13)


def test_a_stack_equals_its_members(xp: Variant) -> None:
    stack = nested(xp, [3, 1])
    for x in (X, X[None], np.stack([X, 2 * X])):
        def run(x: Any, dout: Any) -> Any:
            bound = stack.bind({})
            y = bound.forward(x)
            dx = bound.backward(dout)
            return y, dx, [bound.grads[name] for name in stack.params]

        _, dx, grads = xp.run(run, x, np.stack([DOUT, -DOUT]))
        each = []
        for k, seed in enumerate((3, 1)):
            own = np.broadcast_to(x, (2, 5, 4))[k]
            expected = gradients(torch_nested, (-1) ** k * DOUT, [own, *host_params(seed)])
            each.append(expected[0])
            xp.check_all([g[k, ...] for g in grads], expected[1:], rtol=1e-10, atol=1e-13)
        xp.check(dx, sum(each) if x.ndim == 2 else np.stack(each), rtol=1e-10, atol=1e-13)


def test_names_go_on_through_what_is_nested(eager: Variant) -> None:
    draw = Initializer(seed=0, backend=eager.backend, dtype="float64")

    def block() -> list[Layer]:
        return [Affine(*draw.affine(4, 4)), BatchNormalization(*draw.normalization(4)), Relu(),
                Dropout(0.5)]

    net = Network([*block(), Residual(block()), Sequential([Sequential(block())])])
    assert list(net.params) == [f"{a}{k}" for k in (1, 2, 3) for a in ("W", "b", "gamma", "beta")]
    assert list(net.state) == [f"running_{a}{k}" for k in (1, 2, 3) for a in ("mean", "var")]
    assert net.param_ndims == dict.fromkeys(net.params, 1) | {"W1": 2, "W2": 2, "W3": 2}
    assert [leaf.stream for leaf in net.leaves() if leaf.draws] == [0, 1, 2]
    inner: Any = net.layers["Residual1"]
    assert inner.params["W1"] is net.params["W2"]
    net.params["W2"] = eager.asarray(np.zeros((4, 4)))
    affine = inner.layers["body"].layers["Affine1"]
    assert affine.name == "Residual1.body.Affine1"
    eager.check(affine.W, np.zeros((4, 4)))
    bound = net.bind({"W2": eager.asarray(np.ones((4, 4)))})
    inner = bound.layers["Residual1"]
    eager.check(inner.params["W1"], np.ones((4, 4)))
    eager.check(net.params["W2"], np.zeros((4, 4)))
    with pytest.raises(KeyError, match="no parameter 'W4'; there are W1, b1"):
        net.bind({"W4": net.params["W1"]})
    with pytest.raises(KeyError, match="no state 'gamma1'; there are running_mean1"):
        net.state["gamma1"]
    assert repr(Sequential([]).params) == "Parameters({})"


def test_layers_of_a_network_in_another_leave_it_as_it_was(eager: Variant) -> None:
    draw = Initializer(seed=0, backend=eager.backend, dtype="float64")
    net = Network([Dropout(), Dropout(), Residual([Affine(*draw.affine(4, 4)), Dropout()])])
    names, body = [leaf.name for leaf in net.leaves()], net.layers["Residual1"]
    features = Sequential([net.layers["Dropout2"], body])
    inner = Sequential(net.leaves()[2:])
    assert [leaf.name for leaf in net.leaves()] == names
    assert [leaf.stream for leaf in net.leaves() if leaf.draws] == [0, 1, 2]
    assert [leaf.name for leaf in features.leaves()] == [
        "Dropout1", "Residual1.body.Affine1", "Residual1.body.Dropout1"]
    assert [leaf.stream for leaf in features.leaves() if leaf.draws] == [0, 1]
    for other in (features, inner):
        assert other.params["W1"] is net.params["W1"]
    net.params["W1"] = eager.asarray(np.zeros((4, 4)))
    assert features.params["W1"] is not net.params["W1"]
    assert Sequential([inner]).layers["Sequential1"] is inner  # which nothing held before


def test_state_goes_in_and_out(eager: Variant) -> None:
    draw = Initializer(seed=0, backend=eager.backend, dtype="float64")
    net = Sequential([Residual([BatchNormalization(*draw.normalization(4))])])
    before = dict(net.state)
    given = {name: eager.asarray(np.full(4, 2.0)) for name in net.state}
    bound = net.bind({}, given)
    bound.forward(eager.asarray(X))
    eager.check(bound.state["running_mean1"], 0.9 * 2 + 0.1 * X.mean(0), rtol=1e-14)
    eager.check(bound.state["running_var1"], 0.9 * 2 + 0.1 * X.var(0), rtol=1e-14)
    for name, value in given.items():
        eager.check(value, np.full(4, 2.0), rtol=0)
        assert net.state[name] is before[name]
    kept = dict(bound.state)
    bound.forward(eager.asarray(X), train_flg=False)
    assert all(bound.state[name] is kept[name] for name in kept)
    net.forward(eager.asarray(X))  # unbound, it keeps its own
    eager.check(net.state["running_mean1"], 0.1 * X.mean(0), rtol=1e-14)


def test_training_and_the_counter_reach_what_is_nested(eager: Variant) -> None:
    def make() -> Sequential:
        return Sequential([Dropout(0.5), Residual(Dropout(0.5)), Relu()])

    x = eager.asarray(np.ones((50, 4)))
    net = make()
    eager.check(net.forward(x, train_flg=False), np.full((50, 4), 0.5 + 0.25))
    counters = [eager.asarray(np.array([7, step], np.int32)) for step in (0, 0, 1)]
    first, again, other = (
        eager.backend.to_numpy(make().bind({}, counter=c).forward(x)) for c in counters)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert set(np.unique(first)) == {0.0, 1.0, 2.0}  # two masks, not one: else there were no 1
    bound = net.bind({}, counter=counters[0])
    eager.check(bound.forward(x), first)
    eager.check(bound.forward(x), first)  # a copy does not count


def test_a_member_of_a_stack_is_the_network_of_its_seed(eager: Variant) -> None:
    def make(seed: Any) -> Network:
        draw = Initializer(seed=seed, backend=eager.backend, dtype="float64")
        return Network([Affine(*draw.affine(4, 4)), Residual([
            BatchNormalization(*draw.normalization(4)), Dropout(0.5, seed=seed)])])

    x, stack = eager.asarray(X), make([3, 1])
    stack.predict(x, train_flg=True)
    for k, seed in enumerate((3, 1)):
        one, alone = stack.member(k), make(seed)
        alone.predict(x, train_flg=True)
        assert type(one) is Network
        for name, p in {**alone.params, **alone.state}.items():
            held = one.params[name] if name in one.params else one.state[name]
            eager.check(held, eager.backend.to_numpy(p), rtol=1e-13)
        for train_flg in (False, True):
            expected = eager.backend.to_numpy(alone.predict(x, train_flg))
            eager.check(one.predict(x, train_flg), expected, rtol=1e-13)
    one.params["b1"] = eager.asarray(np.ones(4))
    eager.check(stack.params["b1"], np.zeros((2, 4)))
    for k in (-1, 2):
        with pytest.raises(IndexError, match=f"is a stack of 2: 0 to 1; got {k}"):
            stack.member(k)
    with pytest.raises(ValueError, match="is no stack, of which a member could be taken"):
        make(3).member(0)


def test_the_mean_prediction_of_a_stack(eager: Variant) -> None:
    draw = Initializer(seed=[0, 1, 2], backend=eager.backend, dtype="float64")
    stack = Network([Affine(*draw.affine(4, 3))])
    each = []
    for k in range(3):
        scores = eager.backend.to_numpy(stack.member(k).predict(eager.asarray(X)))
        each.append(np.exp(scores) / np.exp(scores).sum(-1, keepdims=True))
    mean, spread = stack.mean_prediction(eager.asarray(X))
    eager.check(mean, np.mean(each, axis=0), rtol=1e-13)
    eager.check(spread, np.std(each, axis=0), rtol=1e-10)
    with pytest.raises(ValueError, match="is no stack, over which predictions"):
        stack.member(0).mean_prediction(eager.asarray(X))


def test_of_the_first_layer_only_the_parameters_gradients_are_computed() -> None:
    asked = []

    class Asked(Affine):
        backward_params = Affine.backward_params

        def backward(self, dout: Any) -> Any:
            asked.append(self.name)
            return super().backward(dout)

    draw = Initializer(seed=0)
    W, b, V, c = *draw.affine(4, 3), *draw.affine(3, 2)
    net = Network([Relu(), Asked(W, b), Relu(), Asked(V, c)])
    t = np.array([0, 1, 1, 0, 1])
    grads = net.gradient(X, t)
    assert asked == ["Asked2"]
    net.backward(net.last_layer.backward())
    assert asked == ["Asked2", "Asked2", "Asked1"]
    for name, g in net.grads.items():
        np.testing.assert_array_equal(g, grads[name])
    nested = Network([Sequential([Relu(), Asked(W, b)]), Residual(Asked(*draw.affine(3, 3)))])
    asked.clear()
    grads = nested.gradient(X, t)
    assert asked == ["Residual1.body.Asked1"]
    nested.backward(nested.last_layer.backward())
    for name, g in nested.grads.items():
        np.testing.assert_array_equal(g, grads[name])
    class Spoiled(Affine):  # which has its own backward: that of Affine must not go round it
        def backward(self, dout: Any) -> Any:
            dx = super().backward(dout)
            self.dW = 0 * self.dW
            return 2 * dx

    assert not Network([Spoiled(W, b)]).gradient(X, t)["W1"].any()
    Network([Relu()]).gradient(X, t)  # in which there is nothing to be computed
    with pytest.raises(RuntimeError, match="backward wants a forward before it"):
        Affine(W, b).backward_params(X)


def test_kernels_reach_every_leaf() -> None:
    called = []

    def relu(x: Any) -> Any:
        called.append(x.shape)
        return np.maximum(x, 0)

    net = Sequential([Relu(), Residual(Sequential([Relu()]))])
    fast = net.with_kernels({"relu": relu})
    np.testing.assert_array_equal(fast.forward(X), net.forward(X))
    assert called == [(5, 4), (5, 4)]
    fast.bind({}).forward(X)
    assert len(called) == 4
    net.forward(X)
    assert len(called) == 4
    stack = Sequential([Affine(np.ones((2, 4, 3)), np.ones((2, 3))), Relu()])
    stack.with_kernels({"relu": relu}).forward(X)  # kernels are for arrays without stack axes
    assert len(called) == 4


def test_what_is_refused() -> None:
    relu = Relu()
    with pytest.raises(ValueError, match="Sequential wants each layer once"):
        Sequential([relu, Sequential([relu])])
    message = r"Sequential wants layers, of subclasses of xpnet.layers.Layer; got ufunc"
    with pytest.raises(TypeError, match=message):
        Sequential([np.maximum, relu])  # type: ignore[list-item]
    draw = Initializer(seed=0)
    wide = Residual(Affine(*draw.affine(4, 3)))
    with pytest.raises(ValueError, match=r"one shape; got \(5, 3\) and \(5, 4\)"):
        wide.forward(X)
    thin = Residual(Affine(*draw.affine(4, 1)))  # which NumPy would broadcast in silence
    with pytest.raises(ValueError, match=r"one shape; got \(5, 1\) and \(5, 4\)"):
        thin.forward(X)
    with pytest.raises(RuntimeError, match=r"Residual.backward wants a forward before it"):
        Residual(Relu()).backward(X)
    net = Network([Residual(Affine(*draw.affine(4, 3)))])
    with pytest.raises(ValueError, match=r"Residual1.body.Affine1 wants x of shape"):
        net.predict(X[:, :3])


@pytest.mark.parametrize("mode", ["random", "full"])
def test_gradients(mode: Any) -> None:
    draw = Initializer(seed=0, dtype="float64")
    layer = Sequential([BatchNormalization(*draw.normalization(4)), Affine(*draw.affine(4, 6)),
                        Residual([Affine(*draw.affine(6, 6)), Relu()])])
    assert check_gradients(layer, X, mode=mode).verdict == "correct"


def test_layer_checks() -> None:
    draw = Initializer(seed=0, dtype="float64")
    check_layer(Residual([Affine(*draw.affine(4, 3)), Relu(), Affine(*draw.affine(3, 4))]), X)
