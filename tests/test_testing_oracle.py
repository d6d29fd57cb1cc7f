"""A backward beside JAX's and PyTorch's own differentiation: they see what differences cannot."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from adapted import LAYERS, LOSSES
from array_api_compat import array_namespace
from book_layers import BookAffine
from planted_bugs import BUGS
from test_testing_false_alarms import subjects
from variants import Host, installed, make

from xpnet import Affine, Dropout, Relu, Sequential
from xpnet.testing import check_gradients, check_layer

ORACLES = [pytest.param(name, marks=pytest.mark.skipif(not installed(library), reason=f"no {library} here"))
           for name, library in (("jax vjp", "jax"), ("torch autograd", "torch"))]
each_oracle = pytest.mark.parametrize("oracle", ORACLES)

rng = np.random.default_rng(0)
X, W, B = rng.normal(size=(4, 3)), rng.normal(size=(3, 5)), rng.normal(size=5)


def outcome(oracle: str, layer: Any, *inputs: Any) -> tuple[str, str]:
    """Give status and message of one check."""
    result, = check_layer(layer, *inputs, checks=[oracle]).results
    return result.status, result.message


class SlightlyWrong(BookAffine):
    """Its bias' gradient is off by a factor that is below what differences can tell."""

    def __init__(self, W: Any, b: Any, factor: float) -> None:
        super().__init__(W, b)
        self.factor = factor

    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.db = self.factor * self.db
        return dx


@each_oracle
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_differences_cannot_see(oracle: str, dtype: str) -> None:
    x, w, b = (a.astype(dtype) for a in (X, W, B))
    layer = SlightlyWrong(w, b, 1 + 1e-9)
    assert check_gradients(layer, x)
    assert check_gradients(layer, x, mode="full")
    library = "JAX" if oracle.startswith("jax") else "PyTorch"
    assert outcome(oracle, layer, x) == (
        "failed", f"wants the gradients that {library} finds of the forward; b is off by 1.0e-09")
    assert outcome(oracle, SlightlyWrong(w, b, 1), x) == ("passed", "")


@each_oracle
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("name", [*(name for name in LAYERS if name != "Sequential"), *LOSSES])
def test_what_is_right_passes(oracle: str, name: str, scale: float) -> None:
    for case in LOSSES[name] if name in LOSSES else [LAYERS[name]]:
        layer, (x, *others) = case.make(), case.inputs
        assert outcome(oracle, layer, scale * x, *others) == ("passed", "")


@each_oracle
def test_no_false_alarms(oracle: str) -> None:
    """At scales of 1e-6 to 1e6; `XPNET_SEEDS=100` looks at a hundred of them."""
    for seed in range(int(os.environ.get("XPNET_SEEDS", "10" if oracle == "torch autograd" else "2"))):
        for name, (given, options) in subjects(make("numpy"), "float64", seed).items():
            if not options and hasattr(given[0], "backward") and not hasattr(given[0], "gradient"):
                assert outcome(oracle, *given) == ("passed", ""), (seed, name)


@each_oracle
def test_layers_within_layers(oracle: str) -> None:
    """Without state: that of layers within layers is not brought to other libraries."""
    layers = dict(LAYERS["Sequential"].make().layers)
    del layers["BatchNormalization1"]
    assert outcome(oracle, Sequential(layers), *LAYERS["Sequential"].inputs) == ("passed", "")


def layer_bugs() -> list[Any]:
    """Give the planted bugs of layers that show at once: not those of what is kept from earlier."""
    found = []
    for bug in BUGS:
        (subject, *_), options = bug.subject(make("numpy"), "float64")
        if ("float64" in bug.dtypes and not options and not hasattr(subject, "gradient")
                and bug.kind not in ("stale cache", "accumulation", "shape")):
            found.append(bug)
    return found


# JAX compiles each for seconds: it is given every fourth.
@pytest.mark.parametrize(("oracle", "bug"), [
    pytest.param(*oracle.values, bug, id=f"{bug.name}-{oracle.id}", marks=oracle.marks)
    for k, bug in enumerate(layer_bugs()) for oracle in ORACLES if oracle.values != ("jax vjp",) or k % 4 == 0])
def test_every_planted_bug_is_seen(oracle: str, bug: Any) -> None:
    (layer, *inputs), _ = bug.subject(make("numpy"), "float64")
    (right, *_), _ = bug.right.subject(make("numpy"), "float64")
    status, message = outcome(oracle, layer, *inputs)
    of_right = outcome(oracle, right, *inputs)
    if status == "skipped":  # parameters in a list, and no bind
        assert message == of_right[1] == f"the parameters cannot be replaced: {type(layer).__name__} has no bind"
    else:
        assert (status, of_right) == ("failed", ("passed", ""))


@each_oracle
def test_a_kink_is_no_failure(oracle: str) -> None:
    class Half(Relu):
        """Gives half of the gradient at 0."""

        def backward(self, dout: Any) -> Any:
            xp = array_namespace(dout)
            return dout * xp.where(self.x == 0, 0.25, xp.astype(self.x > 0, dout.dtype))

    assert outcome(oracle, Half(), 0 * X) == (
        "skipped", "x lies on a kink, where there are several gradients")
    assert outcome(oracle, Half(), X) == ("passed", "")


@each_oracle
def test_a_layer_for_numpy_alone_is_skipped_with_the_reason(oracle: str) -> None:
    class Tanh:
        def forward(self, x: Host) -> Host:
            self.y = np.asarray(np.tanh(np.asarray(x)))
            return self.y

        def backward(self, dout: Host) -> Host:
            return dout * (1 - self.y**2)

    status, message = outcome(oracle, Tanh(), X)
    assert status == "skipped"
    assert " cannot differentiate it: " in message


class Product:
    """Two inputs with gradients, and parameters in a mapping with `bind`, as others write layers."""

    def __init__(self, params: Any, factor: float = 1.0) -> None:
        self.params, self.factor = params, factor

    def bind(self, params: Any) -> Product:
        return Product(params, self.factor)

    def forward(self, x: Any, z: Any) -> Any:
        self.x, self.z = x, z
        return x * z * self.params["name"]

    def backward(self, dout: Any) -> Any:
        self.grads = {"name": array_namespace(dout).sum(dout * self.x * self.z, axis=0)}
        return dout * self.z * self.params["name"], self.factor * dout * self.x * self.params["name"]


@each_oracle
def test_all_inputs_and_parameters_of_any_name_are_held(oracle: str) -> None:
    params = {"name": np.array([1.0, 2, 3])}
    assert outcome(oracle, Product(params), X, X + 1) == ("passed", "")
    status, message = outcome(oracle, Product(params, 1 + 1e-8), X, X + 1)
    assert (status, message.partition("; ")[2]) == ("failed", "input 1 is off by 1.0e-08")


class Embedding:
    def __init__(self, W: Any) -> None:
        self.W: Any = W
        self.dW: Any = None

    def forward(self, rows: Any) -> Any:
        xp = array_namespace(rows, self.W)
        self.rows = rows[:, None] == xp.arange(self.W.shape[0])
        return xp.take(self.W, rows, axis=0)

    def backward(self, dout: Any) -> None:
        xp = array_namespace(dout)
        self.dW = xp.matmul(xp.astype(self.rows, dout.dtype).T, dout)


@each_oracle
def test_an_input_of_integers(oracle: str) -> None:
    assert outcome(oracle, Embedding(W), np.array([0, 2, 2])) == ("passed", "")


@each_oracle
def test_without_any_gradient_there_is_nothing_to_hold(oracle: str) -> None:
    class Nothing(Relu):
        def backward(self, dout: Any) -> Any:
            return None

    assert outcome(oracle, Nothing(), X) == ("skipped", "its backward gives no gradient")


@each_oracle
def test_masks_that_are_drawn_are_the_same_for_both(oracle: str) -> None:
    assert outcome(oracle, Dropout(0.5, seed=3), X) == ("passed", "")


@each_oracle
def test_ill_conditioned_gradients_are_rounding(oracle: str) -> None:
    class Differences(Relu):
        """Whose gradient is what is left of numbers a million times as large."""

        def forward(self, x: Any) -> Any:
            self.x = x
            return (x + 1e6) ** 2 - 1e12

        def backward(self, dout: Any) -> Any:
            return dout * (2 * self.x + 2e6)

    assert outcome(oracle, Differences(), X) == ("passed", "")
    rows = np.vstack([X[0], X[0] + 1e-3])
    layer = LAYERS["BatchNormalization"].make()
    assert outcome(oracle, type(layer)(np.ones(3), np.zeros(3)), rows) == ("passed", "")


def test_layer_and_inputs_are_left_as_they_were() -> None:
    layer = Affine(W.copy(), B.copy())
    before = dict(vars(layer))
    check_layer(layer, X, checks=["jax vjp", "torch autograd"])
    assert all(vars(layer)[name] is value for name, value in before.items())
    np.testing.assert_array_equal(layer.W, W)
