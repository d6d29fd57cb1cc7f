"""Products of matrices, and what goes with them at no cost if cuBLASLt can be called: a bias, ReLU, sums.

nvmath-python, which the extras `cuda12` and `cuda13` bring, calls it. Without it, and for what it has no way to
compute, as ReLU in float64, CuPy's products are followed by passes of their own.
"""

from __future__ import annotations

from typing import Any

import cupy

from xpnet_backends.cupy_cublaslt import BITS, by_cublaslt

__all__ = ["product", "product_and_relu", "product_and_sums", "product_into_relu", "relu_backward"]

FEW = 1024
"""Rows up to which sums are left to the product: with more, it is said to take far longer for them than they do."""


def product(a: Any, b: Any, bias: Any = None) -> Any:
    """Compute `a @ b`, plus a bias for each column.

    Parameters
    ----------
    a, b : cupy.ndarray
        `(N, K)` and `(K, M)`, or batches `(B, N, K)` and `(B, K, M)`, one of which may be a single matrix.
        Transposed views are read as they lie.
    bias : cupy.ndarray, optional
        `(M,)`.

    Returns
    -------
    cupy.ndarray
        `(N, M)`, or `(B, N, M)`.
    """
    if bias is None:
        y = by_cublaslt(a, b)
        return cupy.matmul(a, b) if y is None else y
    y = by_cublaslt(a, b, "BIAS", cupy.ascontiguousarray(bias))
    if y is None:
        y = product(a, b)
        y += bias
    return y


def product_and_sums(a: Any, b: Any) -> tuple[Any, Any]:
    """Compute `a @ b`, and the sums of the columns of `b`: of `x.T` and `dout`, the gradients of W and b.

    Parameters
    ----------
    a, b : cupy.ndarray
        `(N, K)` and `(K, M)`.

    Returns
    -------
    product, sums : cupy.ndarray
        `(N, M)` and `(M,)`.
    """
    sums, y = cupy.empty(b.shape[1:], b.dtype), None
    if 1 < b.shape[0] <= FEW and b.flags.c_contiguous:  # as NVIDIA's examples have it
        y = by_cublaslt(a, b, "BGRADA", sums)
    return (product(a, b), cupy.sum(b, axis=0)) if y is None else (y, sums)


def product_and_relu(a: Any, b: Any, bias: Any) -> tuple[Any, Any]:
    """Compute `relu(a @ b + bias)`, and a bit for each number that says whether it is one let through.

    Parameters
    ----------
    a, b, bias : cupy.ndarray
        `(N, K)`, `(K, M)` and `(M,)`.

    Returns
    -------
    y : cupy.ndarray
        `(N, M)`.
    bits : cupy.ndarray or None
        For `product_into_relu`; None where cuBLASLt does not compute this.
    """
    line = -(-b.shape[1] // BITS) * BITS
    bits = cupy.empty((a.shape[0], line // 8), cupy.uint8)
    y = by_cublaslt(a, b, "RELU_AUX_BIAS", cupy.ascontiguousarray(bias), bits)
    if y is not None:
        return y, bits
    y = product(a, b, bias)
    return cupy.maximum(y, 0, out=y), None


def product_into_relu(a: Any, b: Any, y: Any, bits: Any) -> tuple[Any, Any]:
    """Compute `a @ b`, 0 where a ReLU let nothing through, and the sums of the columns of that.

    Parameters
    ----------
    a, b : cupy.ndarray
        `(N, K)` and `(K, M)`.
    y, bits : cupy.ndarray
        What `product_and_relu` gave, `(N, M)`.

    Returns
    -------
    product, sums : cupy.ndarray
        `(N, M)` and `(M,)`.
    """
    sums = cupy.empty(b.shape[1:], b.dtype)
    if bits is not None and a.shape[1] > 1:  # of a single column nvmath-python says that it is wrong
        dx = by_cublaslt(a, b, "DRELU_BGRAD", sums, bits)
        if dx is not None:
            return dx, sums
    dx = relu_backward(product(a, b), y)
    return dx, cupy.sum(dx, axis=0)


relu_backward = cupy.ElementwiseKernel(
    "T dout, T x", "T dx", "dx = x <= 0 ? T(0) : dout", "xpnet_relu_backward")
"""What `xpnet.functional.relu_backward` computes; of a ReLU's output it is the same as of its input."""
