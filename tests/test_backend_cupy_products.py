"""Products on CuPy, and what is computed with them; `-m cuda`, on a GPU or the CPU's stand-in."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from variants import Variant, make, params

SHAPES = [((5, 7), (7, 3)), ((4, 5, 7), (4, 7, 3)), ((5, 7), (4, 7, 3)), ((4, 5, 7), (7, 3)),
          ((1, 7), (7, 1)), ((5, 1), (1, 3)), ((0, 7), (7, 3)), ((5, 0), (0, 3)), ((130, 300), (300, 200))]


@pytest.fixture(params=params("cupy"))
def xp(request: pytest.FixtureRequest) -> Variant:
    return make(request.param)


@pytest.fixture(params=["cuBLASLt", "CuPy"])
def products(request: pytest.FixtureRequest, xp: Variant, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give the functions, once with what nvmath-python brings and once as without it."""
    from xpnet_backends import cupy_cublaslt, cupy_products

    if request.param == "cuBLASLt" and (reason := cupy_cublaslt.unavailable()):
        pytest.skip(reason)
    if request.param == "CuPy":
        monkeypatch.setattr(cupy_cublaslt, "unavailable", lambda: "as if it was not installed")
    return cupy_products


def lying(xp: Variant, a: Any) -> Iterator[Any]:
    """Give an array as it is made, transposed, and as part of a larger one."""
    yield xp.asarray(a)
    yield xp.asarray(np.ascontiguousarray(a.swapaxes(-1, -2))).swapaxes(-1, -2)
    yield xp.asarray(np.repeat(a, 2, axis=-1))[..., ::2]
    wide = xp.asarray(np.concatenate([a, a], axis=-1))
    yield wide[..., :a.shape[-1]]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("shapes", SHAPES)
def test_products(xp: Variant, products: Any, shapes: Any, dtype: str) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    bias = rng.standard_normal(b.shape[-1]).astype(dtype)
    rtol, atol = {"float16": (1e-2, 0.5), "float32": (1e-5, 1e-4), "float64": (1e-12, 1e-12)}[dtype]
    for x, y in itertools.product(lying(xp, a), lying(xp, b)):
        xp.check(products.product(x, y), a @ b, rtol=rtol, atol=atol)
        xp.check(products.product(x, y, xp.asarray(bias)), a @ b + bias, rtol=rtol, atol=atol)
        if a.ndim == b.ndim == 2:
            found = products.product_and_sums(x, y)
            xp.check_all(found, (a @ b, b.sum(axis=0)), rtol=rtol, atol=atol)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("N", "K", "M"), [(5, 7, 3), (3, 4, 128), (2, 5, 129), (0, 3, 4), (1, 1, 1)])
def test_relu_within_products(xp: Variant, products: Any, N: int, K: int, M: int, dtype: str) -> None:
    rng = np.random.default_rng(0)
    x, W, b, dout, V = (rng.standard_normal(shape).astype(dtype)
                        for shape in ((N, K), (K, M), (M,), (N, 6), (M, 6)))
    y, bits = products.product_and_relu(*map(xp.asarray, (x, W, b)))
    rtol, atol = (1e-5, 1e-5) if dtype == "float32" else (1e-12, 1e-12)
    expected = np.maximum(x @ W + b, 0)
    xp.check(y, expected, rtol=rtol, atol=atol)
    dx = np.where(expected > 0, dout @ V.T, 0)
    found = products.product_into_relu(xp.asarray(dout), xp.asarray(V).T, y, bits)
    xp.check_all(found, (dx, dx.sum(axis=0)), rtol=rtol, atol=atol)


def test_what_does_not_fit_is_refused_in_cupys_words(xp: Variant, products: Any) -> None:
    for a, b in (((2, 3), (4, 5)), ((2, 2, 3), (3, 3, 5))):
        with pytest.raises(ValueError, match=r"aligned|mismatch|broadcast"):
            products.product(xp.asarray(np.ones(a, "float32")), xp.asarray(np.ones(b, "float32")))


def test_tf32_is_an_option_of_about_three_digits(xp: Variant) -> None:
    import cupy
    from xpnet_backends import cupy_products as products
    from xpnet_backends.cupy_cublaslt import unavailable

    if reason := unavailable():
        pytest.skip(reason)  # CuPy's own products are not rounded by the stand-in
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype("float32") for shape in ((64, 512), (512, 64)))
    exact = a.astype("float64") @ b.astype("float64")

    def error() -> float:
        found = xp.backend.to_numpy(products.product(xp.asarray(a), xp.asarray(b)))
        return float(np.max(np.abs(found - exact)) / np.max(np.abs(exact)))

    before = cupy._core.get_compute_type(cupy.float32)
    assert error() < 1e-6
    try:
        xp.backend.enable_tf32()
        assert 1e-6 < error() < 2e-3
    finally:
        cupy._core.set_compute_type(cupy.float32, before)
    assert error() < 1e-6


def test_no_more_products_are_remembered_than_so_many(xp: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    from xpnet_backends import cupy_cublaslt, cupy_products

    if reason := cupy_cublaslt.unavailable():
        pytest.skip(reason)
    monkeypatch.setattr(cupy_cublaslt, "PLANS", 3)
    monkeypatch.setattr(cupy_cublaslt, "_plans", {})
    for _ in range(2):
        for n in range(1, 8):
            a, b = np.ones((n, 2), "float32"), np.ones((2, 5), "float32")
            xp.check(cupy_products.product(xp.asarray(a), xp.asarray(b)), a @ b)
            assert len(cupy_cublaslt._plans) == min(n, 3) or n < 4
