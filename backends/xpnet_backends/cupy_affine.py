"""Stand-ins for `affine` and `relu`, their backwards, and for chains of them: fewer passes over the memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from xpnet.functional import affine as plain_affine
from xpnet.functional import affine_backward as plain_affine_backward
from xpnet.functional import relu_backward as plain_relu_backward
from xpnet.functional._array import sum_over, unbroadcast
from xpnet.functional.affine import check_affine
from xpnet_backends.cupy_cublaslt import DTYPES
from xpnet_backends.cupy_products import (
    product,
    product_and_relu,
    product_and_sums,
    product_into_relu,
)
from xpnet_backends.cupy_products import relu_backward as relu_backward_kernel

__all__ = ["affine", "affine_backward", "affine_chain", "affine_chain_backward", "relu_backward",
           "stacked_affine", "stacked_affine_backward"]


def affine(x: Any, W: Any, b: Any) -> Any:
    """Stand in for `xpnet.functional.affine`."""
    if not _is_usual(x, W, b):
        return plain_affine(x, W, b)
    check_affine(x, W, b)
    return product(x, W, b)


def affine_backward(
    dout: Any, x: Any, W: Any, b: Any, *, with_dx: bool = True
) -> tuple[Any, Any, Any]:
    """Stand in for `xpnet.functional.affine_backward`."""
    if dout.ndim != 2 or not _is_usual(x, W, b):
        return plain_affine_backward(dout, x, W, b, with_dx=with_dx)
    check_affine(x, W, b, dout)
    dW, db = product_and_sums(x.T, dout)
    return product(dout, W.T) if with_dx else None, dW, db


def stacked_affine(x: Any, W: Any, b: Any) -> Any:
    """Stand in for `xpnet.functional.affine`, of a stack."""
    if not _is_stack(x, W, b):
        return plain_affine(x, W, b)
    check_affine(x, W, b)
    return _product_of_stacks(x, W) + b[..., None, :]


def stacked_affine_backward(
    dout: Any, x: Any, W: Any, b: Any, *, with_dx: bool = True
) -> tuple[Any, Any, Any]:
    """Stand in for `xpnet.functional.affine_backward`, of a stack."""
    if not _is_stack(dout, x, W, b):
        return plain_affine_backward(dout, x, W, b, with_dx=with_dx)
    check_affine(x, W, b, dout)
    dW = unbroadcast(_product_of_stacks(x.mT, dout), W.shape)
    db = unbroadcast(sum_over(dout, -2), b.shape)
    if not with_dx:
        return None, dW, db
    dx = _product_of_stacks(dout, W.mT)
    return unbroadcast(dx, dx.shape[dx.ndim - x.ndim:]), dW, db


def relu_backward(dout: Any, x: Any) -> Any:
    """Stand in for `xpnet.functional.relu_backward`."""
    if dout.shape != x.shape or dout.dtype != x.dtype or x.dtype not in DTYPES:
        return plain_relu_backward(dout, x)
    return relu_backward_kernel(dout, x)


def _is_stack(*arrays: Any) -> bool:
    """Tell whether these have one stack axis at most, and 32 or 64 bits."""
    return all(a.ndim <= 3 and a.dtype in DTYPES for a in arrays)


def _product_of_stacks(a: Any, b: Any) -> Any:
    """Compute `a @ b`, a stack axis of length 1 being that of one matrix for all."""
    y = product(*(c[0] if c.ndim == 3 and len(c) == 1 else c for c in (a, b)))
    return y if y.ndim == max(a.ndim, b.ndim) else y[None, ...]


def _is_usual(x: Any, W: Any, b: Any) -> bool:
    """Tell whether these are one network's, of 32 or 64 bits: sums of 16 bits are another's to round."""
    return x.ndim == W.ndim == 2 and b.ndim == 1 and x.dtype in DTYPES


def affine_chain(x: Any, Ws: Sequence[Any], bs: Sequence[Any]) -> tuple[Any, Any]:
    """Compute Affine layers with Relus between them; see `xpnet.layers.affine_chain`."""
    hidden: list[tuple[Any, Any]] = [(x, None)]
    for W, b in zip(Ws[:-1], bs[:-1], strict=True):
        hidden.append(product_and_relu(hidden[-1][0], W, b))
    return product(hidden[-1][0], Ws[-1], bs[-1]), hidden


def affine_chain_backward(
    dout: Any, hidden: Sequence[tuple[Any, Any]], Ws: Sequence[Any], found: Callable[[int, Any, Any], None], *,
    with_dx: bool,
) -> Any:
    """Compute the gradients of `affine_chain`."""
    last = len(Ws) - 1
    found(last, *product_and_sums(hidden[-1][0].T, dout))
    for k in range(last, 0, -1):
        dout, db = product_into_relu(dout, Ws[k].T, *hidden[k])
        found(k - 1, product(hidden[k - 1][0].T, dout), db)
    return product(dout, Ws[0].T) if with_dx else None
