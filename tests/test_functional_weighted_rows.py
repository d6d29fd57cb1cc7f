"""`softmax_cross_entropy` with label smoothing, class weights and sample weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from autograd import gradients
from variants import Variant

from xpnet.functional import softmax_cross_entropy, softmax_cross_entropy_backward
from xpnet.testing import check_gradients

N, C = 6, 4
RNG = np.random.default_rng(0)
X, T = RNG.standard_normal((N, C)), RNG.integers(0, C, N)
ROWS = np.eye(C)[T]
W, S = RNG.uniform(0.5, 3, C), RNG.uniform(0, 2, N)
OPTIONS: dict[str, dict[str, Any]] = {
    "smoothing": {"label_smoothing": 0.1},
    "classes": {"class_weights": W},
    "samples": {"sample_weight": S},
    "all": {"label_smoothing": 0.3, "class_weights": W, "sample_weight": S},
}


def torch_loss(
    label_smoothing: float = 0.0, class_weights: Any = None, sample_weight: Any = None
) -> Any:
    """PyTorch's own mean; with sample weights, the weighted mean of its own rows."""

    def loss(torch: Any, x: Any, labels: Any = T) -> Any:
        t = torch.as_tensor(labels)
        w = None if class_weights is None else torch.as_tensor(class_weights)
        cross_entropy = torch.nn.functional.cross_entropy
        if sample_weight is None:
            return cross_entropy(x, t, weight=w, label_smoothing=label_smoothing)
        s = torch.as_tensor(sample_weight)
        rows = cross_entropy(x, t, weight=w, label_smoothing=label_smoothing, reduction="none")
        return (s * rows).sum() / (s if w is None else s * w[t]).sum()

    return loss


def expected(x: Any, options: dict[str, Any], labels: Any = T) -> tuple[Any, Any]:
    """Give PyTorch's loss and gradient."""
    torch = pytest.importorskip("torch")
    f = torch_loss(**options)
    (dx,) = gradients(lambda torch, x: f(torch, x, labels), 1.0, [x])
    return f(torch, torch.tensor(x, dtype=torch.float64), labels).numpy(), dx


def run(xp: Variant, f: Any, options: dict[str, Any], *arrays: Any) -> Any:
    """Call `f(*arrays, **options)`, the arrays among the options on the library, too."""
    smoothing = {k: v for k, v in options.items() if k == "label_smoothing"}
    weights = {k: v for k, v in options.items() if k not in smoothing}

    def call(*given: Any) -> Any:
        of_options = dict(zip(weights, given[len(arrays):], strict=True))
        return f(*given[:len(arrays)], **smoothing, **of_options)

    return xp.run(call, *arrays, *weights.values())


def both(x: Any, t: Any, **options: Any) -> Any:
    loss, y = softmax_cross_entropy(x, t, return_y=True, **options)
    return (loss, softmax_cross_entropy(x, t, **options), y,
            softmax_cross_entropy_backward(1, x, t, **options),
            softmax_cross_entropy_backward(1, x, t, y=y, **options))


@pytest.mark.parametrize(("options", "labels"), [
    *((options, T) for options in OPTIONS.values()), (OPTIONS["all"], ROWS),
], ids=[*OPTIONS, "all, rows"])
def test_against_torch(xp: Variant, options: dict[str, Any], labels: Any) -> None:
    value, gradient = expected(X, options)
    loss, alone, y, dx, handed_on = run(xp, both, options, X, labels)
    xp.check_all((loss, alone), (value, value), rtol=1e-12)
    xp.check_all((dx, handed_on), (gradient, gradient), rtol=1e-10, atol=1e-15)
    xp.check(y, np.exp(X) / np.exp(X).sum(-1, keepdims=True), rtol=1e-12)


@pytest.mark.parametrize("e", [0, 0.5, 1])
def test_smoothing_of_classes(e: float) -> None:
    options = {"label_smoothing": e, "class_weights": W}
    value, gradient = expected(X, options)
    for labels in (T, ROWS):
        loss, _, _, dx, _ = both(X, labels, **options)
        np.testing.assert_allclose(loss, value, rtol=1e-12)
        np.testing.assert_allclose(dx, gradient, rtol=1e-10, atol=1e-15)


def test_smoothed_soft_rows_are_pytorchs(xp: Variant) -> None:
    rows = np.random.default_rng(1).random((N, C))  # they do not sum to 1

    def torch_soft(torch: Any, x: Any) -> Any:
        return torch.nn.functional.cross_entropy(x, torch.as_tensor(rows), label_smoothing=0.2)

    (expected,) = gradients(torch_soft, 1.0, [X])
    dx = xp.run(lambda x, t: softmax_cross_entropy_backward(1, x, t, label_smoothing=0.2), X, rows)
    xp.check(dx, expected, rtol=1e-10, atol=1e-15)


def test_weighted_soft_rows_divide_by_their_own_weight(xp: Variant) -> None:
    rows = np.random.default_rng(2).dirichlet(np.ones(C), N)
    nll = -np.log(np.exp(X) / np.exp(X).sum(-1, keepdims=True))
    value = (W * rows * nll).sum() / (rows @ W).sum()
    xp.check(run(xp, softmax_cross_entropy, {"class_weights": W}, X, rows), value, rtol=1e-12)


@pytest.mark.parametrize("ones", [{"class_weights": np.ones(C)}, {"sample_weight": np.ones(N)}])
def test_weights_of_one_change_nothing(ones: dict[str, Any]) -> None:
    for plain, weighted in zip(both(X, T), both(X, T, **ones), strict=True):
        np.testing.assert_allclose(weighted, plain, rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "float32"])
def test_a_weight_of_0_is_no_row(xp: Variant, dtype: str) -> None:
    s = np.array([1, 1, 0, 1, 0, 1])
    rows = np.flatnonzero(s)
    value, gradient = expected(X[rows], {}, T[rows])
    loss, _, _, dx, _ = run(xp, both, {"sample_weight": s.astype(dtype)}, X, T)
    xp.check(loss, value, rtol=1e-12)
    all_rows = np.zeros((N, C))
    all_rows[rows] = gradient
    xp.check(dx, all_rows, rtol=1e-12, atol=1e-16)


def test_a_list_of_class_weights_is_an_array_of_them(xp: Variant) -> None:
    value, gradient = expected(X.astype("float32"), {"class_weights": W})
    for weights in (W.tolist(), tuple(W.tolist())):
        loss, _, _, dx, _ = xp.run(lambda x, t, w=weights: both(x, t, class_weights=w),
                                   X.astype("float32"), T)
        xp.check(loss, value, dtype="float32", rtol=1e-5)
        xp.check(dx, gradient, dtype="float32", rtol=1e-4, atol=1e-7)


def test_the_dtype_is_the_scores(xp: Variant) -> None:
    value, gradient = expected(X.astype("float32"), OPTIONS["all"])
    for smoothing in (np.float64(0.3), np.float32(0.3)):  # stronger than a Python number
        options = {**OPTIONS["all"], "label_smoothing": smoothing}
        loss, _, _, dx, _ = run(xp, both, options, X.astype("float32"), T)
        xp.check(loss, value, dtype="float32", rtol=1e-5)
        xp.check(dx, gradient, dtype="float32", rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("one_batch", [False, True])
def test_a_stack_equals_its_members(xp: Variant, one_batch: bool) -> None:
    rng = np.random.default_rng(3)
    x = np.stack([X] * 3) if one_batch else rng.standard_normal((3, N, C))
    s, dout = rng.uniform(0, 2, (3, N)), rng.standard_normal(3)
    options = {**OPTIONS["all"], "sample_weight": s}
    members = [expected(x[k], {**options, "sample_weight": s[k]}) for k in range(3)]
    given = X[None] if one_batch else x  # x[None] asks for one gradient a network

    def value_and_gradient(dout: Any, x: Any, t: Any, **options: Any) -> Any:
        return (softmax_cross_entropy(x, t, **options),
                softmax_cross_entropy_backward(dout, x, t, **options),
                softmax_cross_entropy_backward(2, x, t, **options))

    loss, dx, twice = run(xp, value_and_gradient, options, dout, given, T)
    xp.check(loss, np.stack([value for value, _ in members]), rtol=1e-12)
    gradient = np.stack([gradient for _, gradient in members])
    xp.check(dx, dout[:, None, None] * gradient, rtol=1e-10, atol=1e-15)
    xp.check(twice, 2 * gradient, rtol=1e-10, atol=1e-15)


def test_a_batch_that_several_weights_share_gets_the_sum(xp: Variant) -> None:
    s = np.stack([S, S[::-1]])
    gradient = sum(expected(X, {"sample_weight": row})[1] for row in s)
    dx = run(xp, lambda x, t, **w: softmax_cross_entropy_backward(1, x, t, **w),
             {"sample_weight": s}, X, T)
    xp.check(dx, gradient, rtol=1e-10, atol=1e-15)


def test_one_row(xp: Variant) -> None:
    options = {**OPTIONS["all"], "sample_weight": np.array(2.0)}
    alone = {**options, "sample_weight": np.array([2.0])}
    value, gradient = expected(X[:1], alone, T[:1])
    loss, _, y, dx, handed_on = run(xp, both, options, X[0], T[0])
    xp.check(loss, value, rtol=1e-12)
    xp.check_all((dx, handed_on), (gradient[0], gradient[0]), rtol=1e-10)
    xp.check(y, np.exp(X[0]) / np.exp(X[0]).sum(), rtol=1e-12)


def test_without_weight_or_rows_the_loss_is_0(xp: Variant) -> None:
    for n, options in ((N, {"sample_weight": np.zeros(N)}), (N, {"class_weights": np.zeros(C)}),
                       (0, {**OPTIONS["all"], "sample_weight": np.zeros(0)})):
        loss, _, _, dx, _ = run(xp, both, options, X[:n], T[:n])
        xp.check(loss, 0.0)
        xp.check(dx, np.zeros((n, C)))


def test_impossible_classes_without_smoothing_do_not_make_nan(xp: Variant) -> None:
    x = np.array([[0.0, 0.0, -np.inf]])
    options = {"class_weights": np.array([1.0, 2, 3]), "sample_weight": np.array([5.0])}
    loss, _, _, dx, _ = run(xp, both, options, x, np.array([1]))
    xp.check(loss, np.log(2), rtol=1e-14)
    xp.check(dx, [[0.5, -0.5, 0]], rtol=1e-14)


def test_labels_outside_the_classes_make_the_loss_nan(xp: Variant) -> None:
    for outside, options in ((-1, OPTIONS["smoothing"]), (C, OPTIONS["all"])):
        t = np.where(np.arange(N) == 2, outside, T)
        xp.check(run(xp, softmax_cross_entropy, options, X, t), np.nan)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_check_gradients(options: dict[str, Any]) -> None:
    for t in (T, ROWS):
        assert check_gradients(
            lambda x, t=t: softmax_cross_entropy(x, t, **options), X,
            backward=lambda dout, x, t=t: softmax_cross_entropy_backward(dout, x, t, **options))


def test_half_precision_does_not_overflow() -> None:
    n = 70000
    x, t, s = np.zeros((n, 10), np.float16), np.zeros(n, int), np.ones(n, np.float16)
    weights = np.full(10, 2, np.float16)
    for options in ({"sample_weight": s}, {"class_weights": weights},
                    {"sample_weight": s, "class_weights": weights, "label_smoothing": 0.5}):
        loss = softmax_cross_entropy(x, t, **options)
        assert loss.dtype == np.float16
        np.testing.assert_allclose(loss, np.log(10), rtol=2e-3)
        dx = softmax_cross_entropy_backward(np.array(n, np.float32) / 64, x, t, **options)
        assert dx.dtype == np.float16
        smoothed = np.where(np.arange(10) == 0, 0.55, 0.05) if len(options) == 3 else np.eye(10)[0]
        np.testing.assert_allclose(dx[0], (0.1 - smoothed) / 64, rtol=5e-3)


@pytest.mark.parametrize(("options", "words"), [
    ({"class_weights": np.ones(C + 1)},
     r"class_weights for scores of shape \(6, 4\) want shape \(4,\); got \(5,\)"),
    ({"class_weights": np.ones(1)}, r"want shape \(4,\); got \(1,\)"),
    ({"class_weights": np.ones((1, C))}, r"want shape \(4,\); got \(1, 4\)"),
    ({"sample_weight": np.ones(1)},
     r"sample_weight for a batch of shape \(6, 4\) wants shape \(…, 6\); got \(1,\)"),
])
def test_weights_that_do_not_fit(xp: Variant, options: dict[str, Any], words: str) -> None:
    for f in (softmax_cross_entropy, lambda x, t, **w: softmax_cross_entropy_backward(1, x, t, **w)):
        with pytest.raises(ValueError, match=words):
            run(xp, f, options, X, T)


def test_a_list_of_class_weights_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"want shape \(4,\); got \(3,\)"):
        softmax_cross_entropy(X, T, class_weights=[1, 2, 3])


@pytest.mark.parametrize("e", [-0.1, 1.5, float("nan"), "0.1", None, True])
def test_smoothing_is_a_share(e: Any) -> None:
    with pytest.raises(ValueError, match=r"label_smoothing is a number of 0 … 1; got "):
        softmax_cross_entropy(X, T, label_smoothing=e)


@pytest.mark.parametrize("of", ["class_weights", "sample_weight"])
def test_weights_of_another_library(of: str) -> None:
    strict = pytest.importorskip("array_api_strict")
    weights = strict.ones(C if of == "class_weights" else N)
    with pytest.raises(TypeError, match="one array-API library"):
        softmax_cross_entropy(X, T, **{of: weights})
