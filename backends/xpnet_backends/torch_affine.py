"""Stand-ins for `xpnet.functional.affine` and `relu`, and their backwards, in fewer calls."""

from __future__ import annotations

from typing import Any

import torch

from xpnet.functional import affine as plain_affine
from xpnet.functional import affine_backward as plain_affine_backward
from xpnet.functional import relu_backward as plain_relu_backward
from xpnet.functional.affine import check_affine

__all__ = ["affine", "affine_backward", "relu", "relu_backward"]


def affine(x: Any, W: Any, b: Any) -> Any:
    """Stand in for `xpnet.functional.affine`."""
    if not _is_usual(x, W, b):
        return plain_affine(x, W, b)
    check_affine(x, W, b)
    return torch.addmm(b, x, W)


def affine_backward(
    dout: Any, x: Any, W: Any, b: Any, *, with_dx: bool = True
) -> tuple[Any, Any, Any]:
    """Stand in for `xpnet.functional.affine_backward`."""
    if dout.ndim != 2 or not _is_usual(x, W, b):
        return plain_affine_backward(dout, x, W, b, with_dx=with_dx)
    check_affine(x, W, b, dout)
    dx = torch.mm(dout, W.mT) if with_dx else None
    return dx, torch.mm(x.mT, dout), torch.sum(dout, 0)


def relu(x: Any) -> Any:
    """Stand in for `xpnet.functional.relu`."""
    return torch.relu(x)


def relu_backward(dout: Any, x: Any) -> Any:
    """Stand in for `xpnet.functional.relu_backward`."""
    if dout.shape != x.shape or dout.dtype != x.dtype:
        return plain_relu_backward(dout, x)
    return torch.ops.aten.threshold_backward.default(dout, x, 0)


def _is_usual(x: Any, W: Any, b: Any) -> bool:
    """Tell whether these are one network's, of 32 or 64 bits: sums of 16 bits are another's to round."""
    return x.ndim == W.ndim == 2 and b.ndim == 1 and x.dtype in (torch.float32, torch.float64)
