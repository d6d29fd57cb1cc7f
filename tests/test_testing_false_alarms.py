"""No function or layer of xpnet is called wrong, whatever the library, dtype, scale and seed.

`XPNET_SEEDS=1000 pytest tests/test_testing_false_alarms.py` looks at a thousand seeds; by default
only at a few.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from variants import Variant, make, params

from xpnet import Affine, MeanSquaredError, Relu, SigmoidWithLoss, SoftmaxWithLoss, TwoLayerNet
from xpnet import functional as fn
from xpnet.layers import (
    BatchNormalization,
    Dropout,
    Gelu,
    LayerNormalization,
    LeakyRelu,
    Sigmoid,
    Silu,
    Tanh,
)
from xpnet.testing import check_gradients

N, D, M = 4, 6, 5
SCALES = (1e-6, 1e-3, 1.0, 1e3, 1e6)
Given = tuple[tuple[Any, ...], dict[str, Any]]
Draw = Callable[[Any], Any]


class Inference(BatchNormalization):
    """Batch normalisation by running averages."""

    def forward(self, x: Any, train_flg: bool = False) -> Any:
        return super().forward(x, train_flg)


@pytest.fixture(params=params("numpy", "strict", "torch", "jax", "cupy"))
def library(request: pytest.FixtureRequest) -> Variant:
    return make(request.param)


def seeds(library: Variant) -> range:
    """Give the seeds to look at: on JAX, which computes one operation at a time, fewer."""
    few = {"numpy": 30, "torch": 10, "jax": 1}.get(library.backend.name, 5)
    return range(int(os.environ.get("XPNET_SEEDS", str(few))))


def scale_of(seed: int, rng: np.random.Generator) -> float:
    """Give 1e-6 to 1e6: each power in turn, and all between."""
    return float(10 ** rng.uniform(-6, 6)) if seed % 2 else SCALES[seed // 2 % len(SCALES)]


def subjects(xp: Variant, dtype: str, seed: int) -> dict[str, Given]:
    """Give every function, layer and network with inputs of one scale."""
    rng = np.random.default_rng(seed)
    scale = scale_of(seed, rng)

    def draw(x: Any) -> Any:
        return xp.asarray(x, dtype)

    x, W, b = (draw(scale * rng.standard_normal((N, D))), draw(rng.standard_normal((D, M)) / 2),
               draw(rng.standard_normal(M)))
    t, scores_t = (xp.asarray(rng.integers(0, n, N)) for n in (D, M))
    rows = draw(np.eye(D)[rng.integers(0, D, N)])
    y = draw(scale * rng.dirichlet(np.ones(D), N) + 1e-9)
    network = TwoLayerNet(D, 8, M, "he", seed=seed, backend=xp.backend, dtype=dtype)

    answers = xp.asarray(rng.integers(0, 2, (N, D)))
    targets = draw(scale * rng.standard_normal((N, D)))
    class_weights, sample_weight = draw(rng.uniform(0.1, 9, D)), draw(rng.uniform(0, 2, N))
    weights = {"label_smoothing": 0.1, "class_weights": class_weights,
               "sample_weight": sample_weight}

    def weighted(x: Any, t: Any) -> Any:
        return fn.softmax_cross_entropy(x, t, **weights)

    def weighted_backward(dout: Any, x: Any, t: Any) -> Any:
        return fn.softmax_cross_entropy_backward(dout, x, t, **weights)

    def squared_error_backward(dout: Any, x: Any, t: Any) -> Any:
        return fn.mean_squared_error_backward(dout, x, t), None

    gamma, beta = draw(rng.standard_normal(D)), draw(rng.standard_normal(D))
    images = draw(scale * rng.standard_normal((N, D, 2, 2)))
    mask = draw(rng.integers(0, 2, (N, D)))

    def batch_normalized(x: Any, gamma: Any, beta: Any) -> Any:
        return fn.batch_normalization(x, gamma, beta)[0]

    def masked(x: Any) -> Any:
        return fn.dropout(x, mask)

    def masked_backward(dout: Any, x: Any) -> Any:
        return fn.dropout_backward(dout, x, mask)

    def of_rows(x: Any) -> Any:
        return fn.softmax_cross_entropy(x, rows)

    def of_rows_backward(dout: Any, x: Any) -> Any:
        return fn.softmax_cross_entropy_backward(dout, x, rows)

    found: dict[str, Given] = {
        "affine": ((fn.affine, x, W, b), {"backward": fn.affine_backward}),
        "relu": ((fn.relu, x), {"backward": fn.relu_backward}),
        "sigmoid": ((fn.sigmoid, x), {"backward": fn.sigmoid_backward}),
        "tanh": ((fn.tanh, x), {"backward": fn.tanh_backward}),
        "leaky_relu": ((fn.leaky_relu, x), {"backward": fn.leaky_relu_backward}),
        "gelu": ((fn.gelu, x), {"backward": fn.gelu_backward}),
        "silu": ((fn.silu, x), {"backward": fn.silu_backward}),
        "dropout": ((masked, x), {"backward": masked_backward}),
        "batch_normalization": ((batch_normalized, x, gamma, beta),
                                {"backward": fn.batch_normalization_backward}),
        "layer_normalization": ((fn.layer_normalization, x, gamma, beta),
                                {"backward": fn.layer_normalization_backward}),
        "softmax": ((fn.softmax, x), {"backward": fn.softmax_backward}),
        "cross_entropy_error": ((fn.cross_entropy_error, y, t),
                                {"backward": fn.cross_entropy_error_backward}),
        "softmax_cross_entropy": ((fn.softmax_cross_entropy, x, t),
                                  {"backward": fn.softmax_cross_entropy_backward}),
        "softmax_cross_entropy, rows": ((of_rows, x), {"backward": of_rows_backward}),
        "softmax_cross_entropy, weighted": ((weighted, x, t), {"backward": weighted_backward}),
        "sigmoid_cross_entropy": ((fn.sigmoid_cross_entropy, x, answers),
                                  {"backward": fn.sigmoid_cross_entropy_backward}),
        "mean_squared_error": ((fn.mean_squared_error, x, targets),
                               {"backward": squared_error_backward}),
        "Affine": ((Affine(W, b), x), {}),
        "Relu": ((Relu(), x), {}),
        "Sigmoid": ((Sigmoid(), x), {}),
        "Tanh": ((Tanh(), x), {}),
        "LeakyRelu": ((LeakyRelu(0.2), x), {}),
        "Gelu": ((Gelu(), x), {}),
        "Silu": ((Silu(), x), {}),
        "Dropout": ((Dropout(seed=seed).bind({}), x), {}),
        "BatchNormalization": ((BatchNormalization(gamma, beta), x), {}),
        "BatchNormalization, inference": ((Inference(gamma, beta), x), {}),
        "LayerNormalization": ((LayerNormalization(gamma, beta), x), {}),
        "SoftmaxWithLoss": ((SoftmaxWithLoss(), x, t), {}),
        "SoftmaxWithLoss, weighted": (
            (SoftmaxWithLoss(0.1, class_weights), x, t, sample_weight), {}),
        "SigmoidWithLoss": ((SigmoidWithLoss(), x, answers, sample_weight), {}),
        "MeanSquaredError": ((MeanSquaredError(), x, targets, sample_weight), {}),
        "TwoLayerNet": ((network, x, scores_t), {}),
    }
    if xp.backend.name != "jax":  # where other shapes are compiled for seconds
        found["BatchNormalization, images"] = (BatchNormalization(gamma, beta), images), {}
    return found


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_right_is_called_wrong(library: Variant, dtype: str) -> None:
    found: dict[str, Counter[str]] = {}
    for seed in seeds(library):
        for name, (given, options) in subjects(library, dtype, seed).items():
            report = check_gradients(*given, **options, seed=seed)
            assert report.verdict in ("correct", "imprecise"), f"seed {seed}: {report}"
            found.setdefault(name, Counter())[report.verdict] += 1
    total = sum(found.values(), Counter())
    assert total["correct"] >= 0.95 * total.total(), found


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_on_a_kink_what_is_right_is_a_kink_and_what_is_wrong_is_wrong(
    library: Variant, dtype: str
) -> None:
    for seed in seeds(library):
        rng = np.random.default_rng(seed)
        host = scale_of(seed, rng) * rng.standard_normal((N, D))
        host[rng.random((N, D)) < 0.3] = 0
        host[0, 0] = 0
        x = library.asarray(host, dtype)
        assert check_gradients(Relu(), x, seed=seed).verdict == "kink"
        wrong = check_gradients(fn.relu, x, seed=seed,
                                backward=lambda dout, x: -fn.relu_backward(dout, x))
        assert wrong.verdict == "wrong", f"seed {seed}: {wrong}"
