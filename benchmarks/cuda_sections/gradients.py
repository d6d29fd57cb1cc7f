"""Gradients by backpropagation on CuPy, against NumPy's in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.cuda_sections.found import Found
from xpnet import MultiLayerNet, SimpleConvNet, TwoLayerNet, get_backend
from xpnet.testing import check_gradients

__all__ = ["run"]

TOLERANCES = {"float64": 1e-10, "float32": 1e-4}
"""Relative to the largest of each array."""


def networks(dry: bool) -> dict[str, tuple[Callable[..., Any], tuple[int, ...]]]:
    """Give what makes each network, and the shape of an input."""
    hidden = 20 if dry else 100
    return {
        "TwoLayerNet": (lambda **to: TwoLayerNet(784, 50, 10, "he", seed=1, **to), (784,)),
        "MultiLayerNet, batch normalisation": (
            lambda **to: MultiLayerNet(784, [hidden] * 3, 10, use_batchnorm=True, seed=1, **to), (784,)),
        "MultiLayerNet, dropout, weight decay": (
            lambda **to: MultiLayerNet(784, [hidden] * 3, 10, use_dropout=True, weight_decay_lambda=0.01, seed=1,
                                       **to), (784,)),
        "SimpleConvNet": (lambda **to: SimpleConvNet(hidden_size=hidden, weight_init_std="he", seed=1, **to),
                          (1, 28, 28)),
    }


def run(found: Found) -> None:
    """Compare the gradients of each network, by the plain layers and by the backend's kernels."""
    backend, rng = get_backend("cuda"), np.random.default_rng(0)
    rows, worst, verdicts = [], dict.fromkeys(TOLERANCES, 0.0), {}
    for name, (make, shape) in networks(found.dry).items():
        found.stage(name)
        # Of many images, a pixel or two are so near to a ReLU's 0, or to another, that rounding decides.
        batch = 5 if found.dry else 10 if len(shape) > 1 else 100
        x, t = rng.standard_normal((batch, *shape)), rng.integers(0, 10, batch)
        right = make(dtype="float64").gradient(x, t)
        row = [name]
        for dtype in TOLERANCES:
            network = make(backend=backend, dtype=dtype)
            for each in (network, network.with_kernels(backend.kernels)):
                off = _off(backend, each.gradient(backend.asarray(x, dtype), backend.asarray(t)), right)
                worst[dtype] = max(worst[dtype], off)
                row.append(f"{off:.1e}")
        report = check_gradients(make(backend=backend, dtype="float64"), backend.asarray(x[:3]),
                                 backend.asarray(t[:3]))
        verdicts[name] = report.verdict
        rows.append([*row, report.verdict])
    found.table(["", *(f"{dtype}{by}" for dtype in TOLERANCES for by in ("", ", kernels")), "check_gradients"], rows)
    found.figure("worst", worst)
    found.note("The largest difference of a batch, relative to the largest gradient of each array, or to a tenth of "
               "the largest of all.")
    for dtype, tolerance in TOLERANCES.items():
        found.bar(dtype, worst[dtype] <= tolerance, f"{worst[dtype]:.1e}")
    wrong = [f"{name}: {verdict}" for name, verdict in verdicts.items() if verdict != "correct"]
    found.bar("checks", not wrong, "; ".join(wrong) or f"{len(verdicts)} of {len(verdicts)}")


def _off(backend: Any, grads: dict[str, Any], right: dict[str, Any]) -> float:
    """Give the largest difference, relative to the largest gradient of its array.

    An array whose gradient is 0 but for roundings, as of a bias in front of batch normalisation, is seen beside
    the largest of all.
    """
    assert grads.keys() == right.keys()
    sizes = {name: float(np.max(np.abs(g))) for name, g in right.items()}
    least = 0.1 * max(sizes.values())
    differences = [float(np.max(np.abs(backend.to_numpy(g) - right[name]))) / max(sizes[name], least)
                   for name, g in grads.items()]
    return float(np.max(differences))  # NaN, if one is
