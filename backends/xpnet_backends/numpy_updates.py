"""Stand-ins for `xpnet.optimizers.Optimizer.moves`: one pass over the memory, or parts that stay in the cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xpnet_backends.numpy_loops import compiled_loops

__all__ = ["RULES"]

loops = compiled_loops("numpy_numba_updates")

PART = 2**16
"""Numbers updated at a time: 256 KiB of float32."""


def moves(
    optimizer: Any, params: Sequence[Any], grads: Sequence[Any], memories: Sequence[Sequence[Any]],
    rates: Sequence[Any], numbers: Mapping[str, Any],
) -> list[tuple[Any, ...]]:
    """Stand in for `xpnet.optimizers.Optimizer.moves`."""
    return [move(optimizer, *each, numbers) for each in zip(params, grads, memories, rates, strict=True)]


def move(
    optimizer: Any, p: Any, g: Any, memory: Sequence[Any], lr: Any, numbers: Mapping[str, Any]
) -> tuple[Any, ...]:
    """Stand in for `xpnet.optimizers.Optimizer.move`."""
    if np.ndim(lr) or p.dtype not in (np.float32, np.float64):
        return optimizer.move(p, g, memory, lr, numbers)
    if loops is not None:
        return looped(optimizer, p, g, memory, lr, numbers)
    return in_parts(optimizer, p, g, memory, lr, numbers) if p.size > PART else optimizer.move(
        p, g, memory, lr, numbers)


def looped(
    optimizer: Any, p: Any, g: Any, memory: Sequence[Any], lr: Any, numbers: Mapping[str, Any]
) -> tuple[Any, ...]:
    """Compute each number at once."""
    loop, constants = loops.RULES[optimizer.rule]
    number = p.dtype.type
    decay = number(optimizer.weight_decay)
    l2, decoupled = (number(0), decay) if optimizer.decoupled else (decay, number(0))
    results = [np.empty_like(a) for a in (p, *memory)]
    loop(*map(flat, (p, g, *memory)), zero_dimensional(lr, p.dtype), l2, decoupled,
         *map(number, constants(optimizer)),
         *(zero_dimensional(a, p.dtype) for a in numbers.values()), *map(flat, results))
    return tuple(results)


def in_parts(
    optimizer: Any, p: Any, g: Any, memory: Sequence[Any], lr: Any, numbers: Mapping[str, Any]
) -> tuple[Any, ...]:
    """Compute a part at a time, so that what is computed stays in the cache."""
    results = [np.empty_like(a) for a in (p, *memory)]
    p, g, *memory = map(flat, (p, g, *memory))
    into = [flat(a) for a in results]
    for first in range(0, p.size, PART):
        part = slice(first, first + PART)
        found = optimizer.move(p[part], g[part], [a[part] for a in memory], lr, numbers)
        for a, values in zip(into, found, strict=True):
            a[part] = values
    return tuple(results)


def flat(a: Any) -> Any:
    """Give all numbers in a row, in memory that may be written: Numba compiles no second loop then."""
    return (a if a.flags.carray else a.copy()).reshape(-1)


def zero_dimensional(number: Any, dtype: Any) -> Any:
    """Give a number as an array without axes, whose value a recording may change."""
    return number if isinstance(number, np.ndarray) else np.asarray(number, dtype)


RULES = dict.fromkeys(("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam"), moves)
