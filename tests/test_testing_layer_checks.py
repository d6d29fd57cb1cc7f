"""Every check of a layer finds the layer that was made to fail it, and leaves others alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from array_api_compat import array_namespace, device
from book_layers import BookAffine
from variants import Host, Variant

from xpnet import Affine, Relu, SoftmaxWithLoss
from xpnet.layers import Layer
from xpnet.testing import _host
from xpnet.testing.layer_checks import LayerReport, check_layer, layer_checks

ORACLES = ("jax vjp", "torch autograd")
OTHER_LIBRARIES = ("jax jit", "array-api-strict", "torch meta")

rng = np.random.default_rng(0)
X, W, B = rng.normal(size=(4, 3)), rng.normal(size=(3, 5)), rng.normal(size=5)
LABELS = np.asarray([0, 2, 1, 1])


def failed(report: LayerReport) -> set[str]:
    return {result.name for result in report.results if result.status == "failed"}


def skipped(report: LayerReport) -> set[str]:
    return {result.name for result in report.results if result.status == "skipped"}


def message(layer: Any, x: Host, check: str) -> str:
    result, = check_layer(layer, x, checks=[check]).results
    return result.message


class MeanSquare:
    """A loss without parameters."""

    def forward(self, x: Any) -> Any:
        self.x = x
        return array_namespace(x).sum(x * x) / self._rows()

    def backward(self, dout: Any) -> Any:
        return 2 * dout * self.x / self._rows()

    def _rows(self) -> int:
        return max(self.x.shape[0], 1)


# Wrong layers ------------------------------------------------------------------------------------


class GivesPythonNumber(MeanSquare):
    def forward(self, x: Any) -> Any:
        y = super().forward(x)
        return y.item() if isinstance(y, np.generic) else y


class GivesList(BookAffine):
    def forward(self, x: Any) -> Any:
        return [super().forward(x)]


class GivesNoDx(BookAffine):
    def backward(self, dout: Any) -> Any:
        super().backward(dout)


class SumsTooMuch(BookAffine):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.db = array_namespace(dout).sum(dout)
        return dx


class ComputesInFloat64(BookAffine):
    def forward(self, x: Any) -> Any:
        xp = array_namespace(x)
        return xp.astype(super().forward(x), xp.float64)

    def backward(self, dout: Any) -> Any:
        return super().backward(array_namespace(dout).astype(dout, self.W.dtype))


class GivesFloat32Bias(BookAffine):
    def backward(self, dout: Any) -> Any:
        dx, xp = super().backward(dout), array_namespace(dout)
        self.db = xp.astype(self.db, xp.float32)
        return dx


class WritesIntoInput(BookAffine):
    def forward(self, x: Any) -> Any:
        x *= 2
        return super().forward(x)

    def backward(self, dout: Any) -> Any:
        return 2 * super().backward(dout)


class WritesIntoDout(BookAffine):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        dout *= 0
        return dx


class WritesIntoWeights(BookAffine):
    def forward(self, x: Any) -> Any:
        self.W *= 0.5
        return super().forward(x)


class KeepsInputAndWritesNextOneThere(BookAffine):
    def forward(self, x: Any) -> Any:
        if self.x is not None and self.x.shape == x.shape:
            self.x[...] = x
            x = self.x
        return super().forward(x)


class BorrowsInput(BookAffine):
    """Negates its input, and gives it back as it was."""

    def forward(self, x: Any) -> Any:
        if not isinstance(x, np.ndarray):
            return super().forward(x)
        np.negative(x, out=x)
        y = self.b - x @ self.W
        np.negative(x, out=x)
        self.x = x
        return y


class ReadsMemory(BookAffine):
    """As code written in C does that never looks at the strides."""

    def forward(self, x: Any) -> Any:
        if isinstance(x, np.ndarray) and x.size:
            x = np.frombuffer(x, x.dtype).reshape(x.shape)
        return super().forward(x)


class RoundsDifferentlyEachTime(BookAffine):
    calls = 0

    def forward(self, x: Any) -> Any:
        self.calls += 1
        eps = float(array_namespace(x).finfo(x.dtype).eps)
        return super().forward(x) * (1 + eps * (self.calls % 2))


class Random(BookAffine):
    def forward(self, x: Any) -> Any:
        return super().forward(x) + float(rng.random())


class GivesItsBuffer(BookAffine):
    def __init__(self, W: Any, b: Any) -> None:
        super().__init__(W, b)
        self.buffers: dict[Any, Any] = {}

    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        if not isinstance(dx, np.ndarray):
            return dx
        buffer = self.buffers.setdefault((dx.shape, dx.dtype), np.empty_like(dx))
        buffer[...] = dx
        return buffer


class GivesItsOutputBuffer(GivesItsBuffer):
    def forward(self, x: Any) -> Any:
        y = super().forward(x)
        if not isinstance(y, np.ndarray):
            return y
        buffer = self.buffers.setdefault((y.shape, y.dtype), np.empty_like(y))
        buffer[...] = y
        return buffer

    def backward(self, dout: Any) -> Any:
        return BookAffine.backward(self, dout)


class RemembersFirstBatchSize(MeanSquare):
    first = 0

    def forward(self, x: Any) -> Any:
        self.first = self.first or x.shape[0]
        return super().forward(x)

    def backward(self, dout: Any) -> Any:
        return 2 * dout * self.x / max(self.first, 1)


class Squeezes(BookAffine):
    def forward(self, x: Any) -> Any:
        y = super().forward(x)
        return y[0, :] if y.shape[0] == 1 else y

    def backward(self, dout: Any) -> Any:
        return super().backward(array_namespace(dout).reshape(dout, (-1, self.b.shape[0])))


class WantsOneRow(BookAffine):
    def forward(self, x: Any) -> Any:
        array_namespace(x).max(x)
        return super().forward(x)


class DividesByRows(MeanSquare):
    def _rows(self) -> Any:
        xp = array_namespace(self.x)
        return xp.sum(xp.ones_like(self.x[:, 0]))


class DoublesGradient(BookAffine):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.dW = 2 * self.dW
        return dx


class IgnoresDout(MeanSquare):
    def backward(self, dout: Any) -> Any:
        return 2 * self.x / self._rows()


class MeanOfFour(MeanSquare):
    """Whose backward is right for as many rows."""

    def backward(self, dout: Any) -> Any:
        return 2 * dout * self.x / 4


class WritesIntoItsOutput(BookAffine):
    def forward(self, x: Any) -> Any:
        y = super().forward(x)
        y[:, 0] = y[:, 0]
        return y


class LooksAtValue(BookAffine):
    def forward(self, x: Any) -> Any:
        return super().forward(x) if float(array_namespace(x).sum(x * x)) >= 0 else x


class UsesMethods(BookAffine):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.db = dout.sum(axis=0)
        return dx


class ForgetsDevice(BookAffine):
    def forward(self, x: Any) -> Any:
        return super().forward(x) + array_namespace(x).zeros(1, dtype=x.dtype)


class IndexesByList(BookAffine):
    def forward(self, x: Any) -> Any:
        return super().forward(x)[:, [0, 1, 2, 3, 4]]


class IndexesByMask(BookAffine):
    def forward(self, x: Any) -> Any:
        y = super().forward(x)
        return array_namespace(x).reshape(y[y == y], y.shape)  # noqa: PLR0124  no NaN


class CopiesToHost(BookAffine):
    def forward(self, x: Any) -> Any:
        if hasattr(x, "numpy"):
            x.numpy()
        return super().forward(x)


class SlightlyWrongOn(BookAffine):
    """As of kernels of a library's own: by less than differences tell."""

    library: str

    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        return dx * (1 + 1e-9) if self.library in array_namespace(dout).__name__ else dx


class SlightlyWrongOnJax(SlightlyWrongOn):
    library = "jax"


class SlightlyWrongOnTorch(SlightlyWrongOn):
    library = "torch"


# What fails which check ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Planted:
    cls: type[Any]
    fails: set[str]
    dtype: str = "float64"

    def report(self) -> LayerReport:
        x, W_, b = (a.astype(self.dtype) for a in (X, W, B))
        return check_layer(self.cls(W_, b) if issubclass(self.cls, BookAffine) else self.cls(), x)


PLANTED = [
    Planted(GivesPythonNumber, {"output"}),
    Planted(GivesList, set(layer_checks())),
    Planted(GivesNoDx, {"backward"}),
    Planted(SumsTooMuch, {"backward", "one row", "no rows", "gradients", *ORACLES}),
    Planted(ComputesInFloat64, {"float32"}),
    Planted(GivesFloat32Bias, {"float64"}, "float32"),
    Planted(WritesIntoInput, {"untouched", "read-only", "gradients"}),
    Planted(WritesIntoDout, {"untouched", "read-only", "gradients"}),
    Planted(WritesIntoWeights, {"untouched", "read-only", "deterministic", "another batch size",
                                "gradients", *ORACLES}),
    Planted(KeepsInputAndWritesNextOneThere, {"untouched"}),
    Planted(BorrowsInput, {"read-only"}),
    Planted(ReadsMemory, {"non-contiguous"}),
    Planted(RoundsDifferentlyEachTime, {"deterministic"}),
    Planted(Random, {"read-only", "non-contiguous", "deterministic", "another batch size",
                     "gradients", "jax jit", "array-api-strict"}),
    Planted(GivesItsBuffer, {"results kept"}),
    Planted(RemembersFirstBatchSize, {"another batch size"}),
    Planted(Squeezes, {"one row"}),
    Planted(WantsOneRow, {"no rows"}),
    Planted(DividesByRows, {"no rows"}),
    Planted(DoublesGradient, {"gradients", *ORACLES}),
    Planted(IgnoresDout, {"gradients", *ORACLES}),
    Planted(MeanOfFour, {"gradients"}),
    Planted(WritesIntoItsOutput, {"jax jit"}),
    Planted(LooksAtValue, {"jax jit", "torch meta"}),
    Planted(UsesMethods, {"array-api-strict"}),
    Planted(ForgetsDevice, {"array-api-strict", "torch meta"}),
    Planted(IndexesByList, {"array-api-strict"}),
    Planted(IndexesByMask, {"jax jit", "array-api-strict", "torch meta"}),
    Planted(CopiesToHost, {"torch meta"}),
    Planted(SlightlyWrongOnJax, {"jax vjp"}),
    Planted(SlightlyWrongOnTorch, {"torch autograd"}),
]


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.cls.__name__)
def test_a_wrong_layer_fails(planted: Planted) -> None:
    report = planted.report()
    assert failed(report) == planted.fails - skipped(report), str(report)


@pytest.mark.parametrize("name", layer_checks())
def test_every_check_fails_some_layer_that_passes_all_others(name: str) -> None:
    assert any(planted.fails == {name} for planted in PLANTED)


@pytest.mark.parametrize(("layer", "check", "wanted"), [
    (GivesPythonNumber(), "output", "wants the output to be numpy float64 () on cpu; got float"),
    (GivesNoDx(W, B), "backward",
     "wants the gradient of x to be numpy float64 (4, 3) on cpu; got NoneType"),
    (ComputesInFloat64(W, B), "float32", "wants float32 from float32 inputs; got float64: the output"),
    (WritesIntoInput(W, B), "untouched", "wants what it was given untouched; got x changed"),
    (WritesIntoDout(W, B), "untouched", "wants what it was given untouched; got dout changed"),
    (WritesIntoInput(W, B), "read-only", "ValueError: output array is read-only"),
    (GivesItsOutputBuffer(W, B), "results kept",
     "wants the last output left alone by the next run; got other values"),
    (GivesItsBuffer(W, B), "results kept",
     "wants the last dx left alone by the next run; got other values"),
    (Squeezes(W, B), "one row", "wants the output of shape (1, 5); got (5,)"),
    (DividesByRows(), "no rows", "RuntimeWarning: invalid value encountered in scalar divide"),
    (DoublesGradient(W, B), "gradients", "wants correct; got wrong; W: a factor of 2"),
])
def test_a_message_is_one_line_of_what_was_wanted_and_what_came(
    layer: Any, check: str, wanted: str
) -> None:
    assert message(layer, X, check) == wanted


def test_a_batch_size_that_was_written_down_is_found() -> None:
    assert X.shape[0] == 4
    assert "a factor of" in message(MeanOfFour(), X, "gradients")


def test_a_kink_is_called_one() -> None:
    assert message(Relu(), 0 * X, "gradients") == (
        "wants a derivative; got a kink: give inputs that lie on none")


def test_labels_outside_the_classes_are_seen_as_nan() -> None:
    report = check_layer(SoftmaxWithLoss(), X, LABELS + 9, checks=["one row", "deterministic"])
    assert [r.message for r in report.results] == ["", "wants the output finite; got NaN or infinity"]


# What passes ---------------------------------------------------------------------------------------


def test_layers_of_xpnet_pass_on_every_library(eager: Variant) -> None:
    x = eager.asarray(X[:2, :])  # JAX compiles for each shape: few, and those of all layers
    reports = [check_layer(Affine(eager.asarray(W[:, :3]), eager.asarray(B[:3])), x),
               check_layer(Relu(), x),
               check_layer(SoftmaxWithLoss(), x, eager.asarray(LABELS[:2]))]
    for report in reports:
        assert report.ok, str(report)
        assert report
        assert skipped(report) <= {*OTHER_LIBRARIES, *ORACLES}
        assert tuple(result.name for result in report.results) == layer_checks()


def test_float32_and_one_hot_labels_pass() -> None:
    x, w, b = (a.astype("float32") for a in (X, W, B))
    assert check_layer(Affine(w, b), x)
    assert check_layer(SoftmaxWithLoss(), x, np.eye(3, dtype="float32")[LABELS])


def test_jax_without_float64_has_it_for_the_checks() -> None:
    jax = pytest.importorskip("jax")
    with jax.enable_x64(False):
        x = jax.numpy.asarray(X[:2, :].astype("float32"))
        report = check_layer(Relu(), x, checks=["output", "float32", "float64", "jax jit"])
        assert [result.status for result in report.results] == 4 * ["passed"], str(report)


class NumPyAlone:
    """The book's Affine as it stands there."""

    def __init__(self, W: Host, b: Host) -> None:
        self.W, self.b = W, b
        self.x: Any = None
        self.dW: Any = None
        self.db: Any = None

    def forward(self, x: Host) -> Host:
        self.x = x
        return np.dot(x, self.W) + self.b

    def backward(self, dout: Host) -> Host:
        dx = np.dot(dout, self.W.T)
        self.dW = np.dot(self.x.T, dout)
        self.db = np.sum(dout, axis=0)
        return dx


def test_the_books_layer_fails_on_other_libraries_alone() -> None:
    report = check_layer(NumPyAlone(W, B), X)
    assert failed(report) == set(OTHER_LIBRARIES) - skipped(report), str(report)
    assert check_layer(NumPyAlone(W, B), X, skip=OTHER_LIBRARIES)


class TwoOfOne:
    """Parameters in lists, as in the book's second volume, and two inputs with gradients."""

    def __init__(self) -> None:
        self.params = [W.copy()]
        self.grads = [0 * W]

    def forward(self, x: Host, z: Host) -> Host:
        self.inputs = x, z
        return (x * z) @ self.params[0]

    def backward(self, dout: Host) -> tuple[Host, Host]:
        (x, z), (w,) = self.inputs, self.params
        self.grads[0][...] = (x * z).T @ dout
        return dout @ w.T * z, dout @ w.T * x


def test_a_layer_whose_parameters_cannot_be_replaced_is_checked_as_it_is() -> None:
    layer = TwoOfOne()
    report = check_layer(layer, X, X + 1)
    assert report.ok, str(report)
    assert skipped(report) >= {"float32"}
    assert skipped(report) <= {"float32", *OTHER_LIBRARIES, *ORACLES}
    assert next(r.message for r in report.results if r.name == "float32") == (
        "the parameters cannot be replaced: TwoOfOne has no bind")
    np.testing.assert_array_equal(layer.params[0], W)


class BesideAttributes:
    """Parameters in a dictionary, which are also what the layer reads."""

    def __init__(self) -> None:
        self.W = W.copy()
        self.params = {"W": self.W}

    def forward(self, x: Host) -> Host:
        self.x = x
        return x @ self.W

    def backward(self, dout: Host) -> Host:
        self.grads = {"W": self.x.T @ dout}
        return dout @ self.W.T


def test_a_dictionary_beside_the_arrays_goes_on_sharing_them() -> None:
    report = check_layer(BesideAttributes(), X)
    assert report.ok, str(report)
    assert [r.status for r in report.results if r.name == "gradients"] == ["passed"]


class Undeclared(Layer):
    """Has a parameter that is not listed in `param_ndims`."""

    def __init__(self, g: Any) -> None:
        super().__init__()
        self.g, self.dg, self.x = g, None, None

    def forward(self, x: Any) -> Any:
        self.x = x
        return x * self.g

    def backward(self, dout: Any) -> Any:
        self.dg = array_namespace(dout).sum(dout * self.x, axis=0)
        return dout * self.g


def test_a_parameter_that_is_not_declared_is_told_how_to_be() -> None:
    assert "no parameter 'g'; there are none (a layer of one's own lists its in param_ndims)" in message(
        Undeclared(np.ones(3)), X, "backward")


class Masked:
    """Has an array that is no parameter."""

    def __init__(self, mask: Any) -> None:
        self.mask = mask

    def forward(self, x: Any) -> Any:
        return x * self.mask

    def backward(self, dout: Any) -> Any:
        return dout * self.mask


def test_arrays_that_are_no_parameters_come_along_to_other_libraries() -> None:
    report = check_layer(Masked(np.asarray([1.0, 0.0, 2.0])), X,
                         expected_to_fail={"float32": "has a mask of float64"})
    assert report.ok, str(report)


class Embedding:
    """Takes row numbers, which have no gradient."""

    def __init__(self, W: Any) -> None:
        self.W = W
        self.dW: Any = None

    def forward(self, index: Any) -> Any:
        xp = array_namespace(index, self.W)
        self.rows = index[:, None] == xp.arange(self.W.shape[0], device=device(index))
        return xp.take(self.W, index, axis=0)

    def backward(self, dout: Any) -> None:
        xp = array_namespace(dout)
        self.dW = xp.matmul(xp.astype(self.rows, dout.dtype).T, dout)


def test_a_layer_of_integers_needs_no_gradient_for_them() -> None:
    report = check_layer(Embedding(W), LABELS)
    assert report.ok, str(report)


# What is asked for -----------------------------------------------------------------------------------


def test_checks_are_chosen_and_skipped_by_name() -> None:
    report = check_layer(BookAffine(W, B), X, checks=["gradients", "output"], skip=["gradients"])
    assert [(r.name, r.status) for r in report.results] == [
        ("output", "passed"), ("gradients", "skipped")]
    assert report
    assert str(report).splitlines() == [
        "BookAffine: 1 passed, 1 skipped",
        "passed   output     Give an output of the inputs' library, dtype and device",
        "skipped  gradients  as asked",
    ]


def test_an_expected_failure_is_ok_and_an_unexpected_pass_is_not() -> None:
    why = {"float32": "keeps float64 statistics"}
    report = check_layer(ComputesInFloat64(W, B), X, checks=["float32"], expected_to_fail=why)
    assert report
    result, = report.results
    assert result.status == "expected failure"
    assert result.message == ("keeps float64 statistics: wants float32 from float32 inputs; "
                              "got float64: the output")
    report = check_layer(BookAffine(W, B), X, checks=["float32"], expected_to_fail=why)
    assert not report
    assert not report.ok
    result, = report.results
    assert result.status == "unexpected pass"
    assert result.message == "wants a failure: keeps float64 statistics; it passed"


@pytest.mark.parametrize("asked", [
    {"checks": ["gradient"]}, {"skip": ["gradient"]}, {"expected_to_fail": {"gradient": "why"}},
])
def test_a_name_that_is_none_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no check 'gradient'; there are 'output', 'backward'"):
        check_layer(BookAffine(W, B), X, **asked)


def test_without_its_library_a_check_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_host, "installed", lambda module: False)
    report = check_layer(NumPyAlone(W, B), X, expected_to_fail={"jax jit": "NumPy alone"})
    assert report
    assert {r.name: r.message for r in report.results if r.status == "skipped"} == {
        "jax jit": "jax is not installed",
        "array-api-strict": "array_api_strict is not installed",
        "torch meta": "torch is not installed",
        "jax vjp": "jax is not installed",
        "torch autograd": "torch is not installed",
    }


@pytest.mark.parametrize(("arguments", "error"), [
    ((BookAffine, X), "wants a layer with forward and backward; got <class"),
    ((np.tanh, X), "wants a layer with forward and backward; got <ufunc"),
    ((Relu(),), "wants the arrays that forward takes; got none"),
    ((Relu(), [1.0, 2.0]), "wants the arrays that forward takes; got list"),
    ((Relu(), X[:1, :]), r"inputs of two rows or more, equally many; got shapes \(1, 3\)"),
    ((SoftmaxWithLoss(), X, LABELS[:3]), r"equally many; got shapes \(4, 3\), \(3,\)"),
])
def test_arguments_that_are_none_are_refused(arguments: Any, error: str) -> None:
    with pytest.raises((TypeError, ValueError), match=error):
        check_layer(*arguments)


# What is left as it was --------------------------------------------------------------------------------


class Violent(BookAffine):
    """Writes into its parameters, replaces them, and fails."""

    def forward(self, x: Any) -> Any:
        self.W *= 2
        return super().forward(x)

    def backward(self, dout: Any) -> Any:
        super().backward(dout)
        self.W = self.W[:1, ...]
        raise RuntimeError("two\nlines")


@pytest.mark.parametrize("cls", [BookAffine, Violent, WritesIntoInput, WritesIntoWeights, GivesItsBuffer])
def test_layer_and_inputs_are_left_as_they_were(cls: type[BookAffine]) -> None:
    w, x = W.copy(), X.copy()
    layer = cls(w, B)
    before = dict(vars(layer))
    check_layer(layer, x)
    assert vars(layer).keys() == before.keys()
    assert all(vars(layer)[name] is value for name, value in before.items())
    np.testing.assert_array_equal(w, W)
    np.testing.assert_array_equal(x, X)


def test_an_exception_of_the_layer_is_a_failure_of_each_check() -> None:
    report = check_layer(Violent(W, B), X)
    assert failed(report) == set(layer_checks()) - skipped(report)
    assert {r.message for r in report.results if r.status == "failed"} == {"RuntimeError: two"}


def test_an_interruption_passes() -> None:
    class Interrupted(BookAffine):
        def forward(self, x: Any) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_layer(Interrupted(W, B), X)
