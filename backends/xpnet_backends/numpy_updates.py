"""Updates of large parameters, a part at a time, so that what is computed stays in the cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["RULES", "in_parts"]

PART = 2**16
"""Numbers updated at a time: 256 KiB of float32."""


def in_parts(
    optimizer: Any, p: Any, g: Any, memory: Sequence[Any], lr: Any, numbers: Mapping[str, Any]
) -> tuple[Any, ...]:
    """Stand in for `xpnet.optimizers.Optimizer.move`."""
    if p.size <= PART or np.ndim(lr):
        return optimizer.move(p, g, memory, lr, numbers)
    results = [np.empty_like(a) for a in (p, *memory)]
    p, g, *memory = (np.reshape(a, -1) for a in (p, g, *memory))
    flat = [np.reshape(a, -1) for a in results]
    for first in range(0, p.size, PART):
        part = slice(first, first + PART)
        found = optimizer.move(p[part], g[part], [a[part] for a in memory], lr, numbers)
        for a, values in zip(flat, found, strict=True):
            a[part] = values
    return tuple(results)


RULES: dict[str, Callable[..., Any]] = dict.fromkeys(
    ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam"), in_parts
)
