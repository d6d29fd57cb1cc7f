from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_training import network, on_numpy, problem
from variants import Variant, make, params

from xpnet import (
    SGD,
    Affine,
    MeanSquaredError,
    Network,
    SigmoidWithLoss,
    SimpleConvNet,
    SoftmaxWithLoss,
    fit,
)
from xpnet.initializers import Initializer
from xpnet.training import checks
from xpnet.training.batches import split_rows
from xpnet.training.checks import check_classes, checked_data, finite

T = np.arange(60) % 3


def affine(loss: Any, outputs: int = 3, seed: Any = 0) -> Network:
    return Network([Affine(*Initializer(seed=seed).affine(2, outputs))], loss)


def test_class_numbers_get_the_dtype_of_indices(eager: Variant) -> None:
    x, t = problem(eager)
    backend, data = checked_data("training", network(eager), x, t, None)
    assert backend == eager.backend
    assert eager.namespace.isdtype(t.dtype, "unsigned integer")
    assert data.arrays["t"].dtype == eager.namespace.argmax(x, axis=-1).dtype
    np.testing.assert_array_equal(data.on_host("t"), eager.backend.to_numpy(t))
    assert data.arrays["x"] is x


BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "a list": (None, {"x": [[1.0, 2.0]]}, r"data: x wants to be an array of rows; got \[\["),
    "a number": (None, {"t": np.array(3)}, r"t wants to be an array of rows; got "),
    "no rows": (None, {"x": np.ones((0, 2)), "t": np.ones(0, int)}, r"at least one row .* \(0, 2\)"),
    "fewer labels": (None, {"t": T[1:]}, "as many rows of t as of x wanted, 60; got 59"),
    "fewer weights": (None, {"weight": np.ones(61)}, "as many rows of weight as of x .* got 61"),
    "features": (None, {"x": np.ones((60, 5))},
                 r"data \(x \(60, 5\) float64, t \(60,\) int64\): Affine1 wants x of shape \(N, 2\)"),
    "labels of a column": (None, {"t": T[:, None]}, r"t \(60, 1\) int64.* one-hot .*\(…, 2, 3\)"),
    "floats for class numbers": (None, {"t": T.astype(float)}, "class numbers want an integer"),
    "a class too many": (None, {"t": T + 1}, "labels from 0 to 2 wanted; got 1 to 3"),
    "below class 0": (None, {"t": T - 1}, "labels from 0 to 2 wanted; got -1 to 1"),
    "more than one-hot": (None, {"t": 2 * np.eye(3)[T]}, "t wants numbers from 0 to 1; got 0 to 2"),
    "rows of nothing": (None, {"t": 0 * np.eye(3)[T]}, "rows of t that sum to 1 wanted; one is 1 off"),
    "NaN labels": (None, {"t": np.eye(3)[T] * np.nan}, "finite numbers wanted; t holds NaN"),
    "infinity": (None, {"x": np.full((60, 2), np.inf)}, "finite numbers wanted; x holds NaN or inf"),
    "weights": (None, {"weight": np.ones((60, 1))}, r"sample_weight .* wants shape \(…, 2\)"),
    "negative weights": (None, {"weight": -np.ones(60)}, "weight wants numbers from 0; got -1"),
    "NaN weights": (None, {"weight": np.full(60, np.nan)}, "weight holds NaN"),
    "weights of 0": (None, {"weight": np.zeros(60)}, "at least one row of a weight above 0"),
    "no yes or no": (SigmoidWithLoss(), {"t": np.full((60, 3), 2)},
                     "t wants numbers from 0 to 1; got 2 to 2"),
    "targets": (MeanSquaredError(), {"t": T * 1.0}, r"targets of shape \(…, 2, 3\).* got \(2,\)"),
    "infinite targets": (MeanSquaredError(), {"t": np.full((60, 3), np.inf)}, "t holds NaN or inf"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("variant", params("numpy", "strict"))
def test_bad_data(name: str, variant: str) -> None:
    loss, given, words = BAD[name]
    xp = make(variant)
    net = Network([Affine(*Initializer(seed=0, backend=xp.backend, dtype="float64").affine(2, 3))],
                  loss)
    data = {"x": np.zeros((60, 2)), "t": T, "weight": None, **given}
    resident = {k: xp.asarray(a) if isinstance(a, np.ndarray) else a for k, a in data.items()}
    for arrays in (resident, data):  # the second are streamed to other libraries
        with pytest.raises(ValueError, match=words.replace("int64", r"\S*int64")
                           .replace("float64", r"\S*float64")):
            checked_data("training", net, **arrays)


@pytest.mark.parametrize("dtype", ["complex128", "U3", "O", "datetime64[s]"])
def test_what_are_no_real_numbers(dtype: str) -> None:
    for name, a in (("x", np.zeros((60, 2), dtype)), ("t", np.zeros(60, dtype))):
        data = {"x": np.zeros((60, 2)), "t": T, name: a}
        with pytest.raises(TypeError, match=f"training data: real numbers wanted; {name} is of"):
            checked_data("training", affine(None), data["x"], data["t"], None)


@pytest.mark.parametrize("variant", params("torch", "jax"))
def test_data_of_another_library(variant: str) -> None:
    xp = make(variant)
    x, t = on_numpy()
    there = xp.asarray(x), xp.asarray(t)
    with pytest.raises(TypeError, match="arrays of one array-API library are wanted"):
        checked_data("training", affine(None), *there, None)
    for data in ((there[0], t), (x, make("strict").asarray(t))):
        with pytest.raises(TypeError, match="arrays of one array-API library are wanted"):
            checked_data("training", network(xp), *data, None)


def test_stacks_within_stacks() -> None:
    net = Network([Affine(np.zeros((2, 2, 2, 3)), np.zeros((2, 2, 3)))])
    with pytest.raises(ValueError, match=r"a stack with one axis; .* scores \(2, 2, 2, 3\)"):
        checked_data("training", net, *on_numpy(), None)


def test_images_that_are_rows() -> None:
    net = SimpleConvNet((1, 8, 8), hidden_size=4, output_size=3, seed=0)
    with pytest.raises(ValueError, match=r"x \(60, 2\).*Convolution1 wants x of shape \(N, 1"):
        checked_data("training", net, *on_numpy(), None)


def test_all_is_looked_at_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "CHUNK", 8)
    for bad in (0, 30, 59):
        x = np.zeros((60, 2))
        x[bad, 1] = np.nan
        with pytest.raises(ValueError, match="x holds NaN"):
            checked_data("training", affine(None), x, T, None)
        t = np.zeros((60, 3))
        t[bad, 2] = -1
        with pytest.raises(ValueError, match="t wants numbers from 0 to 1; got -1 to 0"):
            checked_data("training", affine(SigmoidWithLoss()), np.zeros((60, 2)), t, None)
        t[bad, 2] = np.inf
        with pytest.raises(ValueError, match="t holds NaN or infinity"):
            checked_data("training", affine(MeanSquaredError()), np.zeros((60, 2)), t, None)


def test_what_is_taken_as_it_is() -> None:
    x = np.zeros((60, 2))
    for loss, t in ((None, np.eye(3, dtype=int)[T]), (None, np.eye(3, dtype=bool)[T]),
                    (SigmoidWithLoss(), np.ones((60, 3), bool)),
                    (MeanSquaredError(), np.full((60, 3), -7)),
                    (SoftmaxWithLoss(0.1), np.full((60, 3), 1 / 3))):
        _, data = checked_data("training", affine(loss), x, t, None)
        assert data.arrays["t"] is t
    for dtype in ("uint8", "bool", "int64", "float32"):
        _, data = checked_data("training", affine(None), x.astype(dtype), T, np.ones(60, dtype))
        assert data.arrays["x"].dtype == dtype


@pytest.mark.parametrize("rows", [False, True])
def test_labels_that_only_validation_has(rows: bool) -> None:
    x = np.zeros((60, 2))
    net = affine(None, 4)

    def data(t: Any) -> Any:
        return checked_data("training", net, x, np.eye(4)[t] if rows else t, None)[1]

    check_classes(net, data(T), data(T % 2))
    with pytest.raises(ValueError, match=r"class 0, 1 occurs in validation only"):
        check_classes(net, data(np.full(60, 2)), data(T))
    if rows:
        soft = checked_data("", net, x, np.full((60, 4), 0.25), None)[1]
        check_classes(net, soft, data(T))
    other = affine(SigmoidWithLoss(), 1)
    yes, no = (checked_data("", other, x, np.full(60, k), None)[1] for k in (1, 0))
    check_classes(other, yes, no)


def test_labels_that_only_validation_has_end_fit() -> None:
    x, t = np.zeros((60, 2)), np.zeros(60, int)
    t[7] = 2  # one row is on one side of a split
    split = next(seed for seed in range(200) if 7 in split_rows(60, 0.1, seed)[1])
    with pytest.raises(ValueError, match="class 2 occurs in validation only"):
        fit(affine(None), x, t, optimizer=SGD(), epochs=1, batch_size=10, validation=0.1, seed=split,
            progress=False)


def test_weights_that_a_split_leaves_at_0() -> None:
    x, t, weight = np.zeros((60, 2)), T, np.zeros(60)
    weight[split_rows(60, 0.5, 0)[1]] = 1
    with pytest.raises(ValueError, match="at least one row of a weight above 0"):
        fit(affine(None), x, t, optimizer=SGD(), epochs=1, batch_size=10, validation=0.5,
            sample_weight=weight, progress=False)


def test_finite(eager: Variant) -> None:
    fine, nan, inf = (eager.asarray(np.array([[1.0, a], [2, 3]])) for a in (0, np.nan, np.inf))
    number = eager.asarray(np.array(1.0))
    assert finite([fine, number, fine])
    assert not finite([fine, nan])
    assert not finite([inf, fine])
    # Of a stack, one network has to be finite in all of them.
    one = eager.asarray(np.array([[[1.0, 2]]]))
    assert finite([fine, nan, one], 1)
    other = eager.asarray(np.array([[1.0, 2], [np.nan, 3]]))
    assert finite([other], 1)
    assert not finite([nan, other], 1)
    assert not finite([fine, eager.asarray(np.array([np.nan]))], 1)
