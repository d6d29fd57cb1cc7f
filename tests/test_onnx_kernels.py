from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ndx: Any = pytest.importorskip("ndonnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

import onnx
from in_onnxruntime import close, rows, run

from xpnet import functional
from xpnet.onnx.graph import Graph
from xpnet.onnx.kernels import KERNELS

Case = tuple[tuple[int, ...], tuple[tuple[int, ...], ...], tuple[int, ...], dict[str, Any]]
POOLS: list[Case] = [((2, 5, 6), (), (2, 3), {}), ((2, 5, 6), (), (3, 2), {"stride": (1, 2), "pad": (1, 1)})]
CASES: Mapping[str, list[Case]] = {
    # the shape of a row, those of the parameters, further arguments, and keywords
    "affine": [((5,), ((5, 4), (4,)), (), {}), ((3, 5), ((5, 4), (4,)), (), {})],
    "average_pooling": POOLS,
    "batch_normalization_inference": [((4,), ((4,),) * 4, (), {"eps": 1e-3}),
                                      ((4, 2, 3), ((4,),) * 4, (), {"axis": -3}),
                                      ((3, 4), ((4,),) * 4, (), {})],
    "convolution": [((2, 6, 5), ((3, 2, 3, 2), (3,)), (), {}),
                    ((2, 6, 5), ((3, 2, 3, 3), (3,)), (), {"stride": (2, 1), "pad": (1, 2)})],
    "gelu": [((5,), (), (), {}), ((2, 3, 4), (), (), {})],
    "layer_normalization": [((6,), ((6,), (6,)), (), {}), ((6,), ((6,), (6,)), (), {"eps": 1e-2})],
    "leaky_relu": [((5,), (), (), {}), ((5,), (), (), {"negative_slope": 0.3})],
    "max_pooling": POOLS,
    "relu": [((5,), (), (), {})],
    "sigmoid": [((5,), (), (), {})],
    "silu": [((5,), (), (), {})],
    "softmax": [((5,), (), (), {}), ((2, 3, 4), (), (), {})],
}
SATURATED = ("gelu", "sigmoid", "silu", "softmax", "leaky_relu")


def test_there_is_a_case_for_each_kernel() -> None:
    assert {*KERNELS} == {*CASES}


def traced(folder: Path, function: Any, shape: tuple[int, ...], constants: list[Any], *args: Any, **kwargs: Any) -> Path:
    dtype = constants[0].dtype if constants else np.dtype(args[-1])
    graph = Graph(shape, dtype)
    given = [graph.constant(f"p{k}", a) for k, a in enumerate(constants)]
    model = graph.model({"y": function(graph.x, *given, *args[:-1], **kwargs)})
    onnx.checker.check_model(model, full_check=True)
    path = folder / f"{function.__module__}.onnx"
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("name", "case"), [(name, case) for name, cases in CASES.items() for case in cases])
def test_kernels_compute_what_the_functions_do(tmp_path: Path, name: str, case: Any, dtype: str) -> None:
    shape, of_constants, args, kwargs = case
    constants = [np.abs(rows(7 + k, each, dtype)[0]) for k, each in enumerate(of_constants)]
    plain, kernel = (
        traced(tmp_path, function, shape, constants, *args, dtype, **kwargs)
        for function in (getattr(functional, name), KERNELS[name]))
    for n in (0, 1, 7):
        x = rows(n, shape, dtype)
        if name in SATURATED and n == 7:
            x = x * np.asarray(100, dtype)
        wide = "float64" if dtype == "float64" else "float32"  # float16's own rounding is no measure
        expected = getattr(functional, name)(
            x.astype(wide), *(a.astype(wide) for a in constants), *args, **kwargs).astype(dtype)
        for path in (plain, kernel):
            close(run(path, x)["y"], expected)


def test_layer_normalization_without_moments() -> None:
    x = ndx.argument(shape=("N", 4), dtype=ndx.float32)
    gamma = ndx.asarray(np.ones(4, "float32"))
    y = KERNELS["layer_normalization"](x, gamma, gamma, eps=1e-5)
    assert y.shape == (None, 4)
    again, mean, var = KERNELS["layer_normalization"](x, gamma, gamma, eps=1e-5, return_moments=True)
    assert (again.shape, mean, var) == (y.shape, None, None)


@pytest.mark.parametrize(("name", "shapes"), [
    ("affine", [(5, 3), (4, 2), (2,)]), ("convolution", [(5, 3, 4, 4), (2, 2, 3, 3), (2,)]),
])
def test_what_does_not_fit_is_refused_in_the_words_of_the_function(name: str, shapes: list[tuple[int, ...]]) -> None:
    arrays = [ndx.argument(shape=shape, dtype=ndx.float32) for shape in shapes]
    with pytest.raises(ValueError, match=f"^{name} wants x of shape"):
        KERNELS[name](*arrays)
