from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from variants import Variant

from xpnet.stacked_gradient import chunk_elements, stacked_numerical_gradient


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (2, 1, 3), (0, 3)])
def test_sums_of_cubes(
    eager: Variant, shape: tuple[int, ...], dtype: str, scale: float
) -> None:
    host = np.asarray(scale * np.random.default_rng(0).standard_normal(shape), dtype)
    x = eager.asarray(host)
    # Rounding and truncation both leave eps^(2/3), relative to the largest.
    expected = 3 * host.astype("float64") ** 2
    atol = 20 * float(np.finfo(dtype).eps) ** (2 / 3) * float(np.abs(expected).max(initial=0))
    gradient = stacked_numerical_gradient(
        lambda xs: eager.namespace.sum(xs**3, axis=tuple(range(1, xs.ndim))) if shape else xs**3, x)
    eager.check(gradient, expected, dtype=dtype, rtol=0, atol=atol)
    eager.check(x, host, rtol=0)


def test_a_stacked_f_may_return_a_view(eager: Variant) -> None:
    x = eager.asarray([1.0, 2.0])
    eager.check(stacked_numerical_gradient(lambda xs: xs[:, 0], x), [1.0, 0.0], rtol=1e-9)


@pytest.mark.parametrize("chunk", [1, 7, 24, 10**6])
def test_stacks_of_every_size_and_members(
    eager: Variant, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xpnet.stacked_gradient.chunk_elements", lambda x: chunk)
    host = np.random.default_rng(0).standard_normal((2, 3, 4))
    x = eager.asarray(host)

    def f(xs: Any) -> Any:  # (c, *shape) -> (c, *stack), for any number of stack axes
        axes = tuple(range(1 + stack_axes, xs.ndim))
        return eager.namespace.sum(xs**3, axis=axes) if axes else xs**3

    for stack_axes in (0, 1, 2, 3):
        gradient = stacked_numerical_gradient(f, x, stack_axes=stack_axes)
        eager.check(gradient, 3 * host**2, rtol=1e-8, atol=1e-8)
        eager.check(x, host, rtol=0)


def test_stacks_are_longer_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.zeros(3)
    assert 8 * chunk_elements(x) == 8 * 2**20  # bytes
    for name in ("cuda:0", "<CUDA Device 0>", "mps:0", "gpu:0", "TPU_0"):
        monkeypatch.setattr("xpnet.stacked_gradient.device", lambda x, name=name: name)
        assert 8 * chunk_elements(x) == 128 * 2**20


@pytest.mark.cuda
def test_cupy_computes_on_a_gpu() -> None:
    cupy = pytest.importorskip("cupy")
    if not cupy.is_available():
        pytest.skip("no CUDA GPU here")
    assert chunk_elements(cupy.zeros(3)) == 2**24


def test_nonsense(eager: Variant) -> None:
    def f(xs: Any) -> Any:
        return eager.namespace.sum(xs, axis=-1)

    with pytest.raises(ValueError, match="finite numbers; x holds NaN"):
        stacked_numerical_gradient(f, eager.asarray([1.0, np.nan]))
    with pytest.raises(ValueError, match=r"a step h of 1e-30 is lost in .*float64"):
        stacked_numerical_gradient(f, eager.asarray([1.0]), h=1e-30)
    with pytest.raises(TypeError, match=r"real floating dtype; got .*int64"):
        stacked_numerical_gradient(f, eager.asarray([1, 2]))
