from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from array_api_compat import array_namespace, device
from book_layers import BookAffine
from variants import Host, Variant, make, params

from xpnet import Affine, Relu, SoftmaxWithLoss, TwoLayerNet
from xpnet import functional as fn
from xpnet.testing import GradientReport, check_gradients
from xpnet.testing.elements import computes_stacks, number, unravel

RNG = np.random.default_rng(5)
X, W, B, SQUARE = (RNG.uniform(0.5, 1.5, shape) * RNG.choice((-1, 1), shape)
                   for shape in ((4, 6), (6, 5), (5,), (5, 5)))
T = np.array([1, 0, 4, 2])


@pytest.fixture(params=params("numpy", "strict", "torch", "cupy"))
def swift(request: pytest.FixtureRequest) -> Variant:
    """Every array library that computes at once; JAX compiles each operation first."""
    return make(request.param)


def full(subject: Any, *inputs: Any, **options: Any) -> GradientReport:
    report = check_gradients(subject, *inputs, mode="full", **options)
    assert report.how.startswith("every element")
    for v in report.variables:
        if v.worst.index is not None:
            assert len(v.worst.index) == len(v.shape)
    return report


def at(x: Any, index: tuple[int, ...]) -> Any:
    xp = array_namespace(x)
    k = number(index, tuple(x.shape))
    return xp.reshape(xp.arange(math.prod(x.shape), device=device(x)) == k, x.shape)


def with_element(x: Any, index: tuple[int, ...], change: Callable[[Any], Any]) -> Any:
    """Give `x` with one element changed."""
    return array_namespace(x).where(at(x, index), change(x), x)


# Subjects ---------------------------------------------------------------------------------------


def softmax_of_rows_mixed(x: Any) -> Any:
    """Normalise columns: on a stack, it would mix the members."""
    xp = array_namespace(x)
    return x / xp.sqrt(xp.sum(x * x, axis=0))


def normalised_backward(dout: Any, x: Any) -> Any:
    xp = array_namespace(x)
    length = xp.sqrt(xp.sum(x * x, axis=0))
    y = x / length
    return (dout - y * xp.sum(dout * y, axis=0)) / length


class HalfSquares:
    """A loss without a `dout`, so that the gradient is known: W times x summed up."""

    def __init__(self, W: Any, index: tuple[int, ...] | None = None) -> None:
        self.W, self.index = W, index
        self.dW: Any = None

    def forward(self, x: Any) -> Any:
        self.x = x
        xp = array_namespace(x)
        self.y = xp.matmul(x, self.W)
        return xp.sum(self.y * self.y) / 2

    def backward(self) -> Any:
        xp = array_namespace(self.y)
        dW = xp.matmul(self.x.mT, self.y)
        self.dW = dW if self.index is None else with_element(dW, self.index, lambda g: 3 * g)
        return xp.matmul(self.y, self.W.mT)


def make_net(
    xp: Variant, cls: type[TwoLayerNet] = TwoLayerNet, dtype: str = "float64"
) -> TwoLayerNet:
    """Make a network 6-8-5."""
    return cls(6, 8, 5, "he", seed=1, backend=xp.backend, dtype=dtype)


def gradients_of_net(net: TwoLayerNet, xp: Variant) -> dict[str, Host]:
    """Give the gradients by the formulas of chapter 5, in NumPy."""
    p = {name: np.asarray(xp.backend.to_numpy(a), "float64") for name, a in net.params.items()}
    h = X @ p["W1"] + p["b1"]
    scores = np.maximum(h, 0) @ p["W2"] + p["b2"]
    e = np.exp(scores)
    d = (e / e.sum(axis=1, keepdims=True) - np.eye(5)[T]) / len(T)
    dh = d @ p["W2"].T * (h > 0)
    return {"W1": X.T @ dh, "b1": dh.sum(axis=0), "W2": np.maximum(h, 0).T @ d, "b2": d.sum(axis=0)}


# Right ones are correct -------------------------------------------------------------------------


def test_functions(swift: Variant) -> None:
    x, w, b = map(swift.asarray, (X, W, B))
    for report in (
        full(fn.affine, x, w, b, backward=fn.affine_backward),
        full(softmax_of_rows_mixed, x, backward=normalised_backward),
    ):
        assert report, str(report)
        assert all(v.worst.index is not None for v in report.variables)
        assert all(v.worst.error < 1e-6 for v in report.variables)


FUNCTIONS: list[tuple[Callable[..., Any], Callable[..., Any], tuple[Host, ...]]] = [
    (fn.relu, fn.relu_backward, (X,)),
    (fn.softmax, fn.softmax_backward, (X,)),
    (fn.softmax_cross_entropy, fn.softmax_cross_entropy_backward, (X, T)),
    (lambda x: x[0] * x[1], lambda dout, x: dout * np.flip(x), (X[0, :2],)),
    (lambda x: x**2, lambda dout, x: 2 * dout * x, (np.asarray(1.5),)),
    (lambda x: x**2, lambda dout, x: 2 * dout * x, (np.zeros((0, 3)),)),
    (lambda x: x.sum(), lambda dout, x: dout * np.ones_like(x), (np.zeros((2, 3)),)),
]


@pytest.mark.parametrize(("f", "backward", "inputs"), FUNCTIONS)
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_more_functions(
    f: Callable[..., Any], backward: Callable[..., Any], inputs: tuple[Host, ...], scale: float
) -> None:
    x, *others = inputs
    report = full(lambda x: scale * f(x, *others), x, backward=lambda dout, x: backward(
        scale * dout, x, *others))
    assert report, str(report)


def test_layers(swift: Variant) -> None:
    x = swift.asarray(X)
    layers: list[tuple[Any, set[str]]] = [
        (Affine(swift.asarray(W), swift.asarray(B)), {"x", "W", "b"}),
        (BookAffine(swift.asarray(W), swift.asarray(B)), {"x", "W", "b"}),
        (Relu(), {"x"}),
        (HalfSquares(swift.asarray(W)), {"x", "W"}),
    ]
    for layer, names in layers:
        report = full(layer, x)
        assert report, str(report)
        assert {v.name for v in report.variables} == names
    assert full(SoftmaxWithLoss(), x, swift.asarray(T))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_networks(dtype: str) -> None:
    for library in ("numpy", "strict"):
        xp = make(library)
        report = full(make_net(xp, dtype=dtype), xp.asarray(X, dtype), xp.asarray(T))
        assert report, str(report)
        assert [v.name for v in report.variables] == ["W1", "b1", "W2", "b2"]


# A wrong element is named -----------------------------------------------------------------------


@pytest.mark.parametrize("off", [1e-3, -2.0])
@pytest.mark.parametrize("index", [(0, 0), (2, 3), (3, 5)])
def test_a_wrong_element_of_a_function(index: tuple[int, ...], off: float, eager: Variant) -> None:
    def gradient(x: Any) -> Any:
        return with_element(3 * x**2, index, lambda g: g + off)

    report = full(lambda x: array_namespace(x).sum(x**3), eager.asarray(X), gradient=gradient)
    assert report.verdict == "wrong"
    assert report.worst is not None
    assert (report.worst.name, report.worst.index) == ("x", index)
    right = 3 * X[index] ** 2
    assert report.worst.backward == pytest.approx(right + off, rel=1e-12)
    assert report.worst.numerical == pytest.approx(right, rel=1e-7)
    # Relative to the larger of the two and the root mean square of the gradient as it came.
    g = 3 * X**2
    g[index] += off
    scale = max(math.sqrt(np.mean(g**2)), abs(right), abs(right + off))
    assert report.worst.error == pytest.approx(abs(off) / scale, rel=1e-4)


@pytest.mark.parametrize("index", [(0, 0), (4, 1), (5, 4)])
def test_a_wrong_element_of_a_parameter(index: tuple[int, ...]) -> None:
    for library in ("numpy", "strict"):
        xp = make(library)
        report = full(HalfSquares(xp.asarray(W), index), xp.asarray(X))
        assert {v.name: v.verdict for v in report.variables} == {"x": "correct", "W": "wrong"}
        right = (X.T @ X @ W)[index]
        assert report.worst is not None
        assert (report.worst.name, report.worst.index) == ("W", index)
        assert report.worst.backward == pytest.approx(3 * right, rel=1e-12)
        assert report.worst.numerical == pytest.approx(right, rel=1e-6)
        assert report.cause == f"only the element {list(index)} of W is off, of 30 looked at"


@pytest.mark.parametrize(
    ("name", "index"), [("W1", (2, 3)), ("b1", (0,)), ("W2", (7, 4)), ("b2", (4,))])
def test_a_wrong_element_of_a_network(name: str, index: tuple[int, ...]) -> None:
    class Wrong(TwoLayerNet):
        def gradient(self, x: Any, t: Any) -> dict[str, Any]:
            found = super().gradient(x, t)
            return found | {name: with_element(found[name], index, lambda g: g - 0.5)}

    xp = make("numpy")
    net = make_net(xp, Wrong)
    right = gradients_of_net(net, xp)[name][index]
    report = full(net, X, T)
    assert [v.name for v in report.variables if v.verdict != "correct"] == [name]
    assert report.worst is not None
    assert report.worst.index == index
    assert report.worst.backward == pytest.approx(right - 0.5, rel=1e-9)
    assert report.worst.numerical == pytest.approx(right, rel=1e-6, abs=1e-9)


def test_all_wrong_elements_but_the_worst_first() -> None:
    def gradient(x: Any) -> Any:
        return 2 * x + 1e-2 * (x > 0) + at(x, (2, 5))

    report = full(lambda x: (x * x).sum(), X, gradient=gradient)
    assert report.worst is not None
    assert report.worst.index == (2, 5)


def test_nan_in_differences_hides_no_wrong_element() -> None:
    # Long steps leave the domain.
    x = np.array([1e-9, 1.0, 2.0])
    right = full(lambda x: np.log(x).sum(), x, gradient=lambda x: 1 / x)
    assert right, str(right)
    wrong = full(lambda x: np.log(x).sum(), x, gradient=lambda x: -1 / x)
    assert wrong.verdict == "wrong"


# Kinks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [(0, 0), (1, 4)])
def test_a_kink_is_named(where: tuple[int, ...], swift: Variant) -> None:
    host = X.copy()
    host[where] = 0
    report = full(fn.relu, swift.asarray(host), backward=fn.relu_backward)
    assert report.verdict == "kink"
    assert report.worst is not None
    assert report.worst.index == where
    assert report.worst.backward == 0
    # Half the slope, that of dout, to the right.
    assert 0.25 <= abs(report.worst.numerical) <= 0.75
    assert any("lies on a kink" in note for note in report.notes)


@pytest.mark.parametrize("kinks", [1, 10, 100])
def test_a_wrong_element_among_kinks(kinks: int) -> None:
    x = np.linspace(0.5, 1.5, 128).reshape(8, 16)
    x.reshape(-1)[:kinks] = 0
    index = (7, 9)

    def backward(dout: Any, x: Any) -> Any:
        return with_element(fn.relu_backward(dout, x), index, lambda g: 0.9 * g)

    assert full(fn.relu, x, backward=fn.relu_backward).verdict == "kink"
    report = full(fn.relu, x, backward=backward)
    assert report.verdict == "wrong"
    assert report.worst is not None
    assert report.worst.index == index
    assert report.worst.backward == pytest.approx(0.9 * report.worst.numerical)


@pytest.mark.parametrize("kinks", [1, 10, 50])
def test_a_wrong_element_that_is_less_off_than_kinks(kinks: int) -> None:
    # Of a gradient that is an array there is none beside the kinks.
    x = np.linspace(0.5, 1.5, 128)
    x[:kinks] = 0
    right = 1.0 * (x > 0)
    wrong = right - 1e-3 * (np.arange(128) == 99)
    assert full(lambda x: fn.relu(x).sum(), x, gradient=right).verdict == "kink"
    report = full(lambda x: fn.relu(x).sum(), x, gradient=wrong)
    assert report.verdict == "wrong"
    assert report.worst is not None
    assert report.worst.index == (99,)
    assert report.worst.numerical == pytest.approx(1.0)


# Stacks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("f", "answer"), [
    (fn.relu, True),
    (fn.softmax, True),
    (lambda x: fn.affine(x, np.asarray(SQUARE), np.asarray(B)), True),
    (lambda x: fn.softmax_cross_entropy(x, np.arange(5)), True),
    (lambda x: x[..., 0, 0], True),
    (lambda x: np.sum(x, axis=(-2, -1)), True),
    (np.sum, False),
    (lambda x: np.sum(x, axis=0), False),
    (lambda x: x - np.mean(x, axis=0), False),  # of the right shape
    (lambda x: x / np.sqrt(np.sum(x * x)), False),  # likewise
    (lambda x: x * np.max(x), False),
    (lambda x: x[0], False),
    (lambda x: np.ones(()), False),  # of the wrong shape, though it broadcasts
    (lambda x: np.mean(x, axis=(0, 1)), False),
    (lambda x: x @ x.T, False),
    (lambda x: x[0, 0] * x[1, 1], False),
    (BookAffine(SQUARE, B).forward, False),  # raises
])
def test_what_computes_stacks(f: Callable[[Any], Any], answer: bool) -> None:
    assert computes_stacks(f, f, SQUARE, f(SQUARE)) is answer


def test_a_stack_for_which_another_function_is_evaluated() -> None:
    assert not computes_stacks(lambda x: 2 * x, lambda x: x, X, X)
    assert not computes_stacks(lambda x: x + 1e-9, lambda x: x, X, X)
    assert computes_stacks(lambda x: x + 1e-15, lambda x: x, X, X)


def test_stacks_on_every_library(eager: Variant) -> None:
    x = eager.asarray(X)
    assert computes_stacks(fn.softmax, fn.softmax, x, fn.softmax(x))
    xp = array_namespace(x)

    def centred(x: Any) -> Any:
        return x - xp.mean(x, axis=0)

    assert not computes_stacks(centred, centred, x, centred(x))


@pytest.mark.parametrize(("f", "backward", "stacks"), [
    (fn.softmax, fn.softmax_backward, True),
    (softmax_of_rows_mixed, normalised_backward, False),
])
def test_stacks_save_evaluations(
    f: Callable[..., Any], backward: Callable[..., Any], stacks: bool
) -> None:
    calls = 0

    def counted(x: Any) -> Any:
        nonlocal calls
        calls += 1
        return f(x)

    assert full(counted, X, backward=backward)
    # Differences take two evaluations for each of the 24 elements.
    assert calls < 20 if stacks else calls >= 48


# Numbers of elements ----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (4, 1, 3), (2, 3, 4, 5)])
def test_numbers_and_indices(shape: tuple[int, ...]) -> None:
    for k, index in enumerate(np.ndindex(shape)):
        assert unravel(k, shape) == index
        assert number(index, shape) == k
