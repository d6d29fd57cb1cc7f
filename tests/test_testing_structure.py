from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from array_api_compat import array_namespace, device
from variants import Host, Variant, make, params

from xpnet import Affine, Relu, SoftmaxWithLoss, TwoLayerNet
from xpnet.testing import GradientReport, check_gradients

RNG = np.random.default_rng(6)
X, W, B, DOUT = (RNG.uniform(0.5, 1.5, shape) * RNG.choice((-1, 1), shape)
                 for shape in ((4, 6), (6, 5), (5,), (4, 5)))
T = np.array([1, 0, 4, 2])
NAMES = ["W1", "b1", "W2", "b2"]
MODES = ("full", "structured")


@pytest.fixture(params=params("numpy", "strict", "torch", "cupy"))
def swift(request: pytest.FixtureRequest) -> Variant:
    """Every array library that computes at once; JAX compiles each operation first."""
    return make(request.param)


def structured(subject: Any, *inputs: Any, **options: Any) -> GradientReport:
    report = check_gradients(subject, *inputs, mode="structured", **options)
    assert "every element, through the layers' tangents" in report.how
    return report


def verdicts(report: GradientReport) -> dict[str, str]:
    return {v.name: v.verdict for v in report.variables}


def make_net(
    xp: Variant, cls: type[TwoLayerNet] = TwoLayerNet, dtype: str = "float64"
) -> TwoLayerNet:
    """Make a network 6-8-5."""
    return cls(6, 8, 5, "he", seed=1, backend=xp.backend, dtype=dtype)


def notes_on(report: GradientReport, name: str) -> list[str]:
    beginning = f"{name} was checked element by element: "
    return [note for note in report.notes if note.startswith(beginning)]


# Tangents of Affine -----------------------------------------------------------------------------


def jacobians(x: Host) -> dict[str, Host]:
    """Give the derivatives of y = x @ W + b.

    ∂y[n, m] / ∂W[i, j] = x[n, i] δ[m, j], and ∂y[n, m] / ∂b[j] = δ[m, j].
    """
    n, d, m = len(x), x.shape[1], len(B)
    of_W = np.einsum("ni,mj->ijnm", x, np.eye(m)).reshape(d * m, n, m)
    of_b = np.einsum("n,mj->jnm", np.ones(n), np.eye(m))
    return {"W": of_W, "b": of_b}


def ranges(n: int) -> Iterator[tuple[int, int]]:
    return itertools.combinations(range(n + 1), 2)


@pytest.mark.parametrize("shape", [(4, 6), (1, 6), (4, 2, 3)])
def test_tangents_of_every_range(shape: tuple[int, ...], swift: Variant) -> None:
    host = X.reshape(-1)[:np.prod(shape)].reshape(shape)
    layer = Affine(swift.asarray(W), swift.asarray(B))
    layer.forward(swift.asarray(host))
    for name, jacobian in jacobians(host.reshape(shape[0], 6)).items():
        for lo, hi in ranges(len(jacobian)):
            swift.check(layer.tangents(name, lo, hi), jacobian[lo:hi], rtol=0)


def test_tangents_on_every_library(eager: Variant) -> None:
    layer = Affine(eager.asarray(W, "float32"), eager.asarray(B, "float32"))
    layer.forward(eager.asarray(X, "float32"))
    expected = jacobians(np.asarray(X, "float32"))
    eager.check(layer.tangents("W", 3, 17), expected["W"][3:17], dtype="float32", rtol=0)
    eager.check(layer.tangents("b", 1, 5), expected["b"][1:5], dtype="float32", rtol=0)


# Right ones -------------------------------------------------------------------------------------


def test_a_network(swift: Variant) -> None:
    report = structured(make_net(swift), swift.asarray(X), swift.asarray(T))
    assert report, str(report)
    assert [v.name for v in report.variables] == NAMES
    assert report.notes == ()
    for v in report.variables:
        assert v.worst.index is not None
        assert v.worst.error < 1e-7


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_layer(dtype: str, swift: Variant) -> None:
    layer = Affine(swift.asarray(W, dtype), swift.asarray(B, dtype))
    report = structured(layer, swift.asarray(X, dtype))
    assert verdicts(report) == dict.fromkeys(("x", "W", "b"), "correct"), str(report)
    assert notes_on(report, "x")
    assert not notes_on(report, "W")
    assert not notes_on(report, "b")
    # Its output is linear in them: nothing is differenced, nothing but rounding is left.
    for v in report.variables[1:]:
        assert v.worst.error < (1e-14 if dtype == "float64" else 1e-6)


def test_a_network_that_takes_several_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    xp = make("numpy")
    asked: list[tuple[str, int, int]] = []
    tangents = Affine.tangents

    def recorded(self: Affine, name: str, lo: int, hi: int) -> Any:
        asked.append((name, lo, hi))
        return tangents(self, name, lo, hi)

    monkeypatch.setattr("xpnet.testing.structure.TANGENTS", 7 * 4 * 8)  # seven elements of W1
    monkeypatch.setattr(Affine, "tangents", recorded)
    report = structured(make_net(xp), X, T)
    assert report, str(report)
    assert report.notes == ()
    assert {(lo, hi) for name, lo, hi in asked if name == "W"} >= {
        (0, 7), (7, 14), (14, 21), (21, 28), (28, 35), (35, 42), (42, 48)}


def test_images() -> None:
    report = structured(make_net(make("numpy")), X.reshape(4, 2, 3), T)
    assert report, str(report)
    assert report.notes == ()


# A wrong element --------------------------------------------------------------------------------


def nudged(g: Any, index: tuple[int, ...], off: float) -> Any:
    xp = array_namespace(g)
    delta = np.zeros(g.shape)
    delta[index] = off
    return g + xp.asarray(delta, dtype=g.dtype, device=device(g))


@pytest.mark.parametrize(("name", "index"), [
    ("W1", (0, 0)), ("W1", (3, 5)), ("W1", (5, 7)), ("b1", (2,)), ("W2", (7, 4)), ("b2", (0,))])
def test_a_wrong_element(name: str, index: tuple[int, ...]) -> None:
    class Wrong(TwoLayerNet):
        def gradient(self, x: Any, t: Any) -> dict[str, Any]:
            found = super().gradient(x, t)
            return found | {name: nudged(found[name], index, 0.25)}

    xp = make("numpy")
    report = structured(make_net(xp, Wrong), X, T)
    assert verdicts(report) == dict.fromkeys(NAMES, "correct") | {name: "wrong"}
    # test_networks.py holds it against PyTorch.
    right = make_net(xp).gradient(X, T)[name][index]
    assert report.worst is not None
    assert report.worst.index == index
    assert report.worst.backward == pytest.approx(right + 0.25, rel=1e-12)
    assert report.worst.numerical == pytest.approx(right, rel=1e-6, abs=1e-9)


def test_a_wrong_element_of_a_layer(swift: Variant) -> None:
    douts = []

    class Wrong(Affine):
        def backward(self, dout: Any) -> Any:
            dx = super().backward(dout)
            douts.append(dout)
            self.dW = nudged(self.dW, (4, 1), 1e-3)
            return dx

    report = structured(Wrong(swift.asarray(W), swift.asarray(B)), swift.asarray(X))
    assert verdicts(report) == {"x": "correct", "W": "wrong", "b": "correct"}
    assert report.worst is not None
    assert report.worst.index == (4, 1)
    right = [(X.T @ swift.backend.to_numpy(dout))[4, 1] for dout in douts]
    assert any(report.worst.numerical == pytest.approx(r, rel=1e-6) for r in right)
    assert report.worst.backward - report.worst.numerical == pytest.approx(1e-3, rel=1e-3)


# Tangents that are not to be trusted ------------------------------------------------------------


class Doubled(Affine):
    def tangents(self, name: str, lo: int, hi: int) -> Any:
        return 2 * super().tangents(name, lo, hi)


class OneOff(Affine):
    """One number in one tangent is off by a thousandth."""

    def tangents(self, name: str, lo: int, hi: int) -> Any:
        found = np.array(super().tangents(name, lo, hi))
        if name == "W" and lo <= 7 < hi:
            found[7 - lo, 0, 2] += 1e-3
        return found


class Squared(Affine):
    """Linear at no point: `x @ W² + b`, with the tangents that it has here."""

    def forward(self, x: Any) -> Any:
        self.x, self.original_x_shape = x, None
        return x @ self.W**2 + self.b

    def backward(self, dout: Any) -> Any:
        self.dW, self.db = 2 * self.W * (self.x.T @ dout), dout.sum(axis=0)
        return dout @ (self.W**2).T

    def tangents(self, name: str, lo: int, hi: int) -> Any:
        scale = 2 * self.W.reshape(-1)[lo:hi, None, None] if name == "W" else 1
        return scale * super().tangents(name, lo, hi)


def spoiled(cls: type[Affine]) -> type[Affine]:
    """Make a layer whose dW is wrong in one element."""

    def backward(self: Any, dout: Any) -> Any:
        dx = cls.backward(self, dout)
        self.dW = nudged(self.dW, (2, 3), 0.1)
        return dx

    return type(cls.__name__, (cls,), {"backward": backward})


@pytest.mark.parametrize("cls", [Doubled, OneOff, Squared])
def test_wrong_tangents_are_not_trusted(cls: type[Affine]) -> None:
    report = structured(cls(W.copy(), B.copy()), X)
    assert verdicts(report) == dict.fromkeys(("x", "W", "b"), "correct"), str(report)
    note, = notes_on(report, "W")
    assert note.endswith(f"the tangents of {cls.__name__}.W are not those of its forward")
    assert bool(notes_on(report, "b")) == (cls is Doubled)

    report = structured(spoiled(cls)(W.copy(), B.copy()), X)
    assert verdicts(report) == {"x": "correct", "W": "wrong", "b": "correct"}, str(report)
    assert report.worst is not None
    assert report.worst.index == (2, 3)
    assert report.worst.backward - report.worst.numerical == pytest.approx(0.1, rel=1e-4)


def test_wrong_tangents_in_a_network() -> None:
    net = make_net(make("numpy"))
    net.layers["Affine1"] = Doubled(net.params["W1"], net.params["b1"])
    report = structured(net, X, T)
    assert verdicts(report) == dict.fromkeys(NAMES, "correct")
    assert [bool(notes_on(report, name)) for name in NAMES] == [True, True, False, False]
    assert str(report).count("the tangents of Doubled.") == 2


# Other networks ---------------------------------------------------------------------------------


class Plain(Affine):
    tangents = None  # type: ignore[assignment]


def test_layers_without_tangents() -> None:
    net = make_net(make("numpy"))
    net.layers["Affine2"] = Plain(net.params["W2"], net.params["b2"])
    report = structured(net, X, T)
    assert verdicts(report) == dict.fromkeys(NAMES, "correct")
    assert report.notes == tuple(f"{name} was checked element by element: its layer has no tangents"
                                 for name in ("W2", "b2"))
    net.layers["Affine2"] = spoiled(Plain)(net.params["W2"], net.params["b2"])
    report = structured(net, X, T)
    assert verdicts(report) == dict.fromkeys(NAMES, "correct") | {"W2": "wrong"}
    assert report.worst is not None
    assert report.worst.index == (2, 3)


def test_a_layer_without_tangents() -> None:
    report = structured(Relu(), X)
    assert report
    assert notes_on(report, "x")


class Decaying(TwoLayerNet):
    """With a weight decay of 0.1, which the layers know nothing of."""

    decay = 0.1

    def loss(self, x: Any, t: Any, train_flg: bool = True) -> Any:
        squares = sum((self.params[name]**2).sum() for name in ("W1", "W2"))
        return super().loss(x, t, train_flg) + 0.1 * squares / 2

    def gradient(self, x: Any, t: Any) -> dict[str, Any]:
        return {name: g + self.decay * self.params[name] if name in ("W1", "W2") else g
                for name, g in super().gradient(x, t).items()}


class DecayForgotten(Decaying):
    decay = 0.0


def test_layers_in_a_row_that_are_not_the_loss() -> None:
    report = structured(make_net(make("numpy"), Decaying), X, T)
    assert verdicts(report) == dict.fromkeys(NAMES, "correct"), str(report)
    for name in NAMES:
        note, = notes_on(report, name)
        assert note.endswith("the layers in a row give another loss than the network")
    report = structured(make_net(make("numpy"), DecayForgotten), X, T)
    assert verdicts(report) == dict.fromkeys(NAMES, "correct") | {"W1": "wrong", "W2": "wrong"}


def test_what_has_no_structure() -> None:
    report = structured(lambda x: x**2, X, backward=lambda dout, x: 2 * dout * x)
    assert report
    assert notes_on(report, "x")


# As in full -------------------------------------------------------------------------------------


class Flipped(Affine):
    def backward(self, dout: Any) -> Any:
        return -super().backward(dout)


class Forgetful(Affine):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.db = 0 * self.db
        return dx


class LastRowLost(Affine):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.dW = self.x[:-1].T @ dout[:-1]
        return dx


class Unmasked(Relu):
    def backward(self, dout: Any) -> Any:
        super().backward(dout)
        return dout


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("name", "cls", "wrong"), [
    ("Affine2", Flipped, {"W1", "b1"}),
    ("Affine1", Flipped, set()),  # its dx is nobody's gradient
    ("Relu1", Unmasked, {"W1", "b1"}),
    ("Affine1", Forgetful, {"b1"}),
    ("Affine2", Forgetful, {"b2"}),
    ("Affine1", LastRowLost, {"W1"}),
    ("Affine2", LastRowLost, {"W2"}),
])
def test_the_verdicts_of_full(
    name: str, cls: Callable[..., Any], wrong: set[str], mode: Any
) -> None:
    net = make_net(make("numpy"))
    net.layers[name] = cls(*net.layers[name].params.values())
    report = check_gradients(net, X, T, mode=mode)
    expected = {name: "wrong" if name in wrong else "correct" for name in NAMES}
    assert verdicts(report) == expected, str(report)


@pytest.mark.parametrize("mode", MODES)
def test_a_kink(mode: Any) -> None:
    # A hidden neuron is exactly 0 for the first image.
    net, x = make_net(make("numpy")), np.round(X * 8) / 8
    net.params["W1"][...] = np.round(net.params["W1"] * 8) / 8
    net.params["b1"][3] = -(x[0] @ net.params["W1"])[3]
    assert net.layers["Affine1"].forward(x)[0, 3] == 0
    report = check_gradients(net, x, T, mode=mode)
    assert verdicts(report) == {"W1": "kink", "b1": "kink", "W2": "correct", "b2": "correct"}


class Tied:
    """Affine(W), Relu, Affine(W): one matrix in two layers."""

    def __init__(self, W: Any, b: Any, share: float = 1.0) -> None:
        self.layers = {"Affine1": Affine(W, b), "Relu1": Relu(), "Affine2": Affine(W, b + 0)}
        self.last_layer = SoftmaxWithLoss()
        self.share = share

    @property
    def params(self) -> dict[str, Any]:
        return {"W": self.layers["Affine1"].W}  # type: ignore[attr-defined]

    def bind(self, params: Any) -> Tied:
        W = params.get("W", self.params["W"])
        return Tied(W, self.layers["Affine1"].b, self.share)  # type: ignore[attr-defined]

    def loss(self, x: Any, t: Any) -> Any:
        for layer in self.layers.values():
            x = layer.forward(x)
        return self.last_layer.forward(x, t)

    def gradient(self, x: Any, t: Any) -> dict[str, Any]:
        self.loss(x, t)
        dout = self.last_layer.backward()
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        first, _, second = self.layers.values()
        return {"W": self.share * first.dW + second.dW}  # type: ignore[attr-defined]


@pytest.mark.parametrize(("share", "verdict"), [(1.0, "correct"), (0.0, "wrong")])
def test_what_several_layers_share_follows_from_none_of_them(share: float, verdict: str) -> None:
    rng = np.random.default_rng(0)
    net = Tied(rng.standard_normal((5, 5)), rng.standard_normal(5), share)
    report = check_gradients(net, rng.standard_normal((4, 5)), np.array([0, 1, 2, 4]),
                             mode="structured")
    assert report.verdict == verdict, str(report)
    assert report.notes == ("W was checked element by element: several layers share it",)
