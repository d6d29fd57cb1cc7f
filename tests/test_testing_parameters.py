from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from array_api_compat import array_namespace, is_writeable_array
from book_layers import BookAffine
from variants import Host, Variant, make, params

import xpnet
from xpnet.testing import check_gradients
from xpnet.testing.parameters import ParameterAccess

RNG = np.random.default_rng(4)
X, W, B, DOUT = (RNG.standard_normal(shape) for shape in ((4, 6), (6, 5), (5,), (4, 5)))
OTHER = {"W": RNG.standard_normal((6, 5)), "b": RNG.standard_normal(5)}
DW, DB = X.T @ DOUT, DOUT.sum(axis=0)


@pytest.fixture(params=params("numpy", "strict", "torch", "cupy"))
def swift(request: pytest.FixtureRequest) -> Variant:
    """Every array library that computes at once; JAX compiles each operation first."""
    return make(request.param)


def affine(x: Any, W: Any, b: Any) -> Any:
    return array_namespace(x).matmul(x, W) + b


# The forms --------------------------------------------------------------------------------------


class Lists:
    """As in the book's second volume."""

    def __init__(self, W: Any, b: Any) -> None:
        self.params = [W, b]
        self.grads = [W * 0, b * 0]
        self.x: Any = None

    def forward(self, x: Any) -> Any:
        self.x = x
        return affine(x, *self.params)

    def backward(self, dout: Any) -> Any:
        xp = array_namespace(dout)
        self.grads = [xp.matmul(self.x.mT, dout), xp.sum(dout, axis=0)]
        return xp.matmul(dout, self.params[0].mT)


class Dictionaries:
    def __init__(self, W: Any, b: Any) -> None:
        self.params = {"W": W, "b": b}
        self.grads: dict[str, Any] = {}
        self.x: Any = None

    def forward(self, x: Any) -> Any:
        self.x = x
        return affine(x, self.params["W"], self.params["b"])

    def backward(self, dout: Any) -> Any:
        xp = array_namespace(dout)
        self.grads = {"b": xp.sum(dout, axis=0), "W": xp.matmul(self.x.mT, dout)}
        return xp.matmul(dout, self.params["W"].mT)


class DictionaryBesideAttributes(BookAffine):
    """A dictionary that shares the arrays with what forward reads, and gradients in attributes."""

    def __init__(self, W: Any, b: Any) -> None:
        super().__init__(W, b)
        self.params = {"W": W, "b": b}


class BindsWithoutGrads(BookAffine):
    """With `bind`; gradients in attributes."""

    @property
    def params(self) -> Mapping[str, Any]:
        return {"W": self.W, "b": self.b}

    def bind(self, params: Mapping[str, Any]) -> BindsWithoutGrads:
        bound = BindsWithoutGrads(params.get("W", self.W), params.get("b", self.b))
        bound.x = self.x
        return bound


FORMS = (xpnet.Affine, BindsWithoutGrads, Dictionaries, DictionaryBesideAttributes, Lists,
         BookAffine)
each_form = pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)


def access_to(layer: Any, xp: Variant) -> ParameterAccess:
    def run() -> None:
        y = layer.forward(xp.asarray(X))
        layer.backward(0 * y + 1)

    return ParameterAccess(layer, run)


def names_of(form: type[Any]) -> list[str]:
    return ["params[0]", "params[1]"] if form is Lists else ["W", "b"]


@each_form
def test_parameters_are_read(form: type[Any]) -> None:
    w, b = W.copy(), B.copy()
    found = access_to(form(w, b), make("numpy")).read()
    assert list(found) == names_of(form)
    assert [found[name] is p for name, p in zip(found, (w, b), strict=True)] == [True, True]


@each_form
def test_gradients_are_read(form: type[Any]) -> None:
    access = access_to(form(W, B), make("numpy"))
    with access.holding(access.read()) as layer:
        layer.forward(X)
        layer.backward(DOUT)
        found = access.gradients(layer)
    assert list(found) == names_of(form)
    for dp, expected in zip(found.values(), (DW, DB), strict=True):
        np.testing.assert_allclose(dp, expected, rtol=1e-12)


def works(form: type[Any], xp: Variant) -> bool:
    """Tell whether a layer of this form sees other arrays: not in a dictionary that it ignores."""
    return form is not DictionaryBesideAttributes or is_writeable_array(xp.asarray(W))


@each_form
@pytest.mark.parametrize("names", [("W", "b"), ("b",)])
def test_others_are_held_and_taken_back(
    form: type[Any], names: tuple[str, ...], eager: Variant
) -> None:
    w, b, x = map(eager.asarray, (W, B, X))
    layer = form(w, b)
    access = access_to(layer, eager)
    of_ours = dict(zip(names_of(form), OTHER, strict=True))
    given = {ours: eager.asarray(OTHER[name]) for ours, name in of_ours.items() if name in names}
    host = {"W": W, "b": B} | {name: OTHER[name] for name in names}
    with access.holding(given) as held:
        y = held.forward(x)
    if works(form, eager):
        eager.check(y, X @ host["W"] + host["b"], rtol=1e-12)
    assert [p is q for p, q in zip(access.read().values(), (w, b), strict=True)] == [True, True]
    eager.check_all(list(access.read().values()), [W, B], rtol=0)
    eager.check(layer.forward(x), X @ W + B, rtol=1e-12)
    for ours, p in given.items():  # nor was what was given written to
        eager.check(p, OTHER[of_ours[ours]], rtol=0)


@each_form
def test_they_are_taken_back_when_something_raises(form: type[Any], eager: Variant) -> None:
    w, b = eager.asarray(W), eager.asarray(B)
    layer = form(w, b)
    access = access_to(layer, eager)
    given = dict(zip(access.read(), map(eager.asarray, OTHER.values()), strict=True))
    with pytest.raises(KeyboardInterrupt), access.holding(given):
        raise KeyboardInterrupt
    assert [p is q for p, q in zip(access.read().values(), (w, b), strict=True)] == [True, True]
    eager.check_all(list(access.read().values()), [W, B], rtol=0)
    if form is DictionaryBesideAttributes:
        assert layer.W is w
        assert layer.b is b


def test_half_of_them_are_taken_back_when_the_next_does_not_fit() -> None:
    w, b = W.copy(), B.copy()
    layer = Dictionaries(w, b)
    access = access_to(layer, make("numpy"))
    with pytest.raises(ValueError, match="broadcast"), access.holding({"W": OTHER["W"], "b": X}):
        pass
    assert layer.params["W"] is w
    np.testing.assert_array_equal(w, W)
    np.testing.assert_array_equal(b, B)


@each_form
def test_what_can_be_told_of_a_form(form: type[Any]) -> None:
    access = access_to(form(W.copy(), B.copy()), make("numpy"))
    assert access.binds == (form in (xpnet.Affine, BindsWithoutGrads))
    # A dictionary or list may share its arrays with what the layer reads: these keep their dtype.
    assert access.can_cast == (form in (xpnet.Affine, BindsWithoutGrads, BookAffine))


def test_a_bound_copy_goes_on_with_what_the_last_remembers() -> None:
    access = access_to(BindsWithoutGrads(W, B), make("numpy"))
    with access.holding(access.read()) as first:
        first.forward(X)
    with access.holding(OTHER, first) as second:
        second.backward(DOUT)
    np.testing.assert_allclose(access.gradients(second)["W"], DW, rtol=1e-12)
    assert access.layer.W is W


@each_form
def test_every_form_is_checked(form: type[Any], swift: Variant) -> None:
    layer = form(swift.asarray(W), swift.asarray(B))
    report = check_gradients(layer, swift.asarray(X))
    assert report, str(report)
    assert [v.name for v in report.variables] == ["x", *names_of(form)]


# Attributes that are no parameters --------------------------------------------------------------


class Remembers(BookAffine):
    """Keeps much that has a `d` of its own, and constants."""

    def __init__(self, W: Any, b: Any) -> None:
        super().__init__(W, b)
        self.mask = b * 0 + 2
        self.frozen, self.dfrozen = b * 1, None
        self.out: Any = None
        self.dx: Any = None
        self.dout: Any = None
        self.version, self.dversion = 1, 2

    def forward(self, x: Any) -> Any:
        self.out = super().forward(x) * self.mask
        return self.out

    def backward(self, dout: Any) -> Any:
        self.dout = dout
        self.dx = super().backward(dout * self.mask)
        return self.dx


class Buffered(Remembers):
    """Writes its output into one buffer again and again."""

    def forward(self, x: Any) -> Any:
        y = super().forward(x)
        if not hasattr(self, "buffer"):
            self.buffer = y + 0
        self.buffer[...] = y
        self.out = self.buffer
        return y


@pytest.mark.parametrize("cls", [Remembers, Buffered])
@pytest.mark.parametrize("used", [False, True])
def test_what_a_layer_remembers_is_no_parameter(cls: type[Any], used: bool) -> None:
    layer = cls(W.copy(), B.copy())
    if used:
        layer.forward(2 * X)
        layer.backward(DOUT)
    assert list(access_to(layer, make("numpy")).read()) == ["W", "b"]
    report = check_gradients(layer, X)
    assert report, str(report)
    assert [v.name for v in report.variables] == ["x", "W", "b"]


def test_a_layer_without_parameters() -> None:
    class Double:
        def forward(self, x: Any) -> Any:
            self.x = x
            return 2 * x

        def backward(self, dout: Any) -> Any:
            self.dx = 2 * dout
            return self.dx

    access = access_to(Double(), make("numpy"))
    assert access.read() == {}
    assert not access.binds
    assert access.can_cast
    with access.holding({}) as layer:
        assert layer is access.layer


# Networks ---------------------------------------------------------------------------------------


class BookNet:
    """The book's: a dictionary beside layers that share its arrays."""

    def __init__(self, xp: Variant, dtype: str = "float64") -> None:
        self.params = {"W1": xp.asarray(W, dtype), "b1": xp.asarray(B, dtype)}
        self.layer = BookAffine(self.params["W1"], self.params["b1"])

    def loss(self, x: Any, t: Any) -> Any:
        d = self.layer.forward(x) - t
        return array_namespace(x).sum(d * d) / 2

    def gradient(self, x: Any, t: Any) -> dict[str, Any]:
        self.layer.backward(self.layer.forward(x) - t)
        return {"W1": self.layer.dW, "b1": self.layer.db}


def test_a_dictionary_beside_layers(eager: Variant) -> None:
    net = BookNet(eager)
    arrays = dict(net.params)
    report = check_gradients(net, eager.asarray(X), eager.asarray(DOUT))
    assert [v.name for v in report.variables] == ["W1", "b1"]
    if is_writeable_array(arrays["W1"]):
        assert report, str(report)
    else:
        assert report.verdict == "wrong"
        assert report.cause is not None
        assert report.cause.startswith("the value does not change with ")
    assert net.params["W1"] is net.layer.W is arrays["W1"]
    assert net.params["b1"] is net.layer.b is arrays["b1"]
    eager.check_all([net.layer.W, net.layer.b], [W, B], rtol=0)


def test_a_networks_own_arrays_come_back_when_its_loss_raises() -> None:
    calls = 0

    class Raising(BookNet):
        def loss(self, x: Host, t: Host) -> Any:
            nonlocal calls
            calls += 1
            if calls == 7:
                raise ZeroDivisionError
            return super().loss(x, t)

    net = Raising(make("numpy"))
    arrays: dict[str, Host] = dict(net.params)
    with pytest.raises(ZeroDivisionError):
        check_gradients(net, X, DOUT)
    assert net.params["W1"] is net.layer.W is arrays["W1"]
    np.testing.assert_array_equal(arrays["W1"], W)
    np.testing.assert_array_equal(arrays["b1"], B)


def test_parameters_that_cannot_be_cast_are_checked_in_float32(swift: Variant) -> None:
    net = BookNet(swift, "float32")
    report = check_gradients(net, swift.asarray(X, "float32"), swift.asarray(DOUT, "float32"))
    assert report, str(report)
    assert any("float32 alone" in note for note in report.notes)
    net.gradient = lambda x, t: {  # type: ignore[method-assign]
        "W1": BookNet.gradient(net, x, t)["W1"], "b1": -BookNet.gradient(net, x, t)["b1"]}
    report = check_gradients(net, swift.asarray(X, "float32"), swift.asarray(DOUT, "float32"))
    assert {v.name: v.verdict for v in report.variables} == {"W1": "correct", "b1": "wrong"}
