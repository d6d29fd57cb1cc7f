"""Stand-ins for `xpnet.functional.softmax_cross_entropy` and its backward, for plain class numbers.

One thread of the GPU computes a row: it has few classes, and there are many rows.
"""

from __future__ import annotations

from typing import Any

import cupy

from xpnet.functional import softmax_cross_entropy as plain
from xpnet.functional import softmax_cross_entropy_backward as plain_backward
from xpnet.functional._array import array_namespace
from xpnet_backends.cupy_cublaslt import DTYPES

__all__ = ["softmax_cross_entropy", "softmax_cross_entropy_backward"]

FEW = 128
"""Classes up to which a thread goes through them; more are for the definition, and threads side by side."""

_rows = cupy.ElementwiseKernel(
    "raw T x, raw S t, int64 C, T rows", "raw T y, T loss",
    """
    const ptrdiff_t first = i * C;
    T largest = x[first];
    for (ptrdiff_t c = 1; c < C; ++c) {
        if (x[first + c] > largest) largest = x[first + c];
    }
    T total = 0;
    for (ptrdiff_t c = 0; c < C; ++c) total += exp(x[first + c] - largest);
    for (ptrdiff_t c = 0; c < C; ++c) y[first + c] = exp(x[first + c] - largest) / total;
    const long long label = t[i];
    loss = label < 0 || label >= C ? T(nan("")) : (log(total) - (x[first + label] - largest)) / rows;
    """, "xpnet_softmax_cross_entropy")

_backward = cupy.ElementwiseKernel(
    "T y, raw S t, int64 C, T scale", "T dx",
    """
    const long long label = t[i / C];
    dx = label < 0 || label >= C ? T(nan("")) : scale * (y - (i % C == label ? T(1) : T(0)));
    """, "xpnet_softmax_cross_entropy_backward")


def softmax_cross_entropy(x: Any, t: Any, *, return_y: bool = False, **options: Any) -> Any:
    """Stand in for `xpnet.functional.softmax_cross_entropy`."""
    if not _is_usual(x, t, options):
        return plain(x, t, return_y=return_y, **options)  # type: ignore[call-overload]
    N, C = x.shape
    y, losses = cupy.empty((N, C), x.dtype), cupy.empty(N, x.dtype)
    _rows(*map(cupy.ascontiguousarray, (x, t)), C, N, y, losses)
    loss = cupy.sum(losses)
    return (loss, y) if return_y else loss


def softmax_cross_entropy_backward(
    dout: Any, x: Any, t: Any, *, y: Any = None, **options: Any
) -> Any:
    """Stand in for `xpnet.functional.softmax_cross_entropy_backward`."""
    if y is None or not isinstance(dout, int | float) or not _is_usual(x, t, options):
        return plain_backward(dout, x, t, y=y, **options)
    N, C = x.shape
    return _backward(y, cupy.ascontiguousarray(t), C, float(dout) / N)


def _is_usual(x: Any, t: Any, options: Any) -> bool:
    """Tell whether these are rows of scores, of 32 or 64 bits, with class numbers, and nothing else."""
    array_namespace(x, t)  # labels of another library are refused, not copied
    return bool(x.ndim == 2 and t.shape == x.shape[:1] and x.dtype in DTYPES and t.dtype.kind in "iu"
                and 0 not in x.shape and x.shape[1] <= FEW and not options.get("label_smoothing")
                and options.get("class_weights") is None and options.get("sample_weight") is None)
