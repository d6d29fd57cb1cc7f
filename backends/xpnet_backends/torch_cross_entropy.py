"""Stand-ins for `xpnet.functional.softmax_cross_entropy` and its backward, for plain class numbers.

`torch.log_softmax` takes, on a processor, as long as all of the calls here for rows of ten.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch

from xpnet.functional import softmax_cross_entropy as plain
from xpnet.functional import softmax_cross_entropy_backward as plain_backward

__all__ = ["softmax_cross_entropy", "softmax_cross_entropy_backward"]

_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def softmax_cross_entropy(x: Any, t: Any, *, return_y: bool = False, **options: Any) -> Any:
    """Stand in for `xpnet.functional.softmax_cross_entropy`."""
    if not _is_usual(x, t, options):
        return plain(x, t, return_y=return_y, **options)  # type: ignore[call-overload]
    N, C = x.shape
    shifted = torch.sub(x, torch.amax(x, 1, keepdim=True))
    e = torch.exp(shifted)
    total = torch.sum(e, 1, keepdim=True)
    nan = _column_of_nan(N, x.dtype, x.device)
    of_labels = torch.gather(torch.cat([nan, shifted, nan], 1), 1, torch.unsqueeze(_places(t, C), 1))
    loss = torch.div(torch.sum(torch.sub(torch.log(total), of_labels)), N)
    return (loss, torch.div(e, total)) if return_y else loss


def softmax_cross_entropy_backward(
    dout: Any, x: Any, t: Any, *, y: Any = None, **options: Any
) -> Any:
    """Stand in for `xpnet.functional.softmax_cross_entropy_backward`."""
    if y is None or not isinstance(dout, int | float) or not _is_usual(x, t, options):
        return plain_backward(dout, x, t, y=y, **options)
    N, C = x.shape
    scale = float(dout) / N
    rows = torch.index_select(_one_hot(C, -scale, x.dtype, x.device), 0, _places(t, C))
    return torch.add(rows, y, alpha=scale)


def _is_usual(x: Any, t: Any, options: Any) -> bool:
    """Tell whether these are rows of scores, of 32 or 64 bits, with class numbers, and nothing else."""
    return bool(x.ndim == 2 and t.shape == x.shape[:1] and x.dtype in (torch.float32, torch.float64)
                and t.dtype in _INTEGERS and 0 not in x.shape and not options.get("label_smoothing")
                and options.get("class_weights") is None and options.get("sample_weight") is None)


def _places(t: Any, C: int) -> Any:
    """Give 1 for class 0 and so on; 0 or C + 1, where there is NaN, for what lies outside."""
    return torch.add(torch.clamp(t.to(torch.int64), -1, C), 1)


@functools.lru_cache(maxsize=8)
def _column_of_nan(N: int, dtype: Any, device: Any) -> Any:
    return torch.full((N, 1), math.nan, dtype=dtype, device=device)


@functools.lru_cache(maxsize=8)
def _one_hot(C: int, one: float, dtype: Any, device: Any) -> Any:
    """Give the rows of the classes from -1 to C, with `one` instead of 1."""
    rows = one * torch.eye(C, dtype=dtype, device=device)
    nan = torch.full_like(rows[:1], math.nan)
    return torch.cat([nan, rows, nan])
