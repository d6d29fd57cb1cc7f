"""Stand-ins for `xpnet.optimizers.Optimizer.moves`: fewer passes over the memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

__all__ = ["RULES"]


def sgd(optimizer: Any, g: Any, memory: Any, numbers: Any) -> tuple[Any, ...]:
    """Stand in for `xpnet.optimizers.SGD.direction`; as the others, with its divisor."""
    return g, None


def momentum(optimizer: Any, g: Any, memory: Any, numbers: Any) -> tuple[Any, ...]:
    """Stand in for `xpnet.optimizers.Momentum.direction`."""
    v = torch.add(g, memory[0], alpha=optimizer.momentum)
    return v, None, v


def nesterov(optimizer: Any, g: Any, memory: Any, numbers: Any) -> tuple[Any, ...]:
    """Stand in for `xpnet.optimizers.Nesterov.direction`."""
    v = torch.add(g, memory[0], alpha=optimizer.momentum)
    return torch.add(g, v, alpha=optimizer.momentum), None, v


def adagrad(optimizer: Any, g: Any, memory: Any, numbers: Any) -> tuple[Any, ...]:
    """Stand in for `xpnet.optimizers.AdaGrad.direction`."""
    h = torch.addcmul(memory[0], g, g)
    return g, torch.sqrt(h).add_(optimizer.eps), h


def rmsprop(optimizer: Any, g: Any, memory: Any, numbers: Any) -> tuple[Any, ...]:
    """Stand in for `xpnet.optimizers.RMSprop.direction`."""
    h = torch.mul(memory[0], optimizer.decay_rate).addcmul_(g, g, value=1 - optimizer.decay_rate)
    return g, torch.sqrt(h).add_(optimizer.eps), h


def adam(optimizer: Any, g: Any, memory: Any, numbers: Any) -> tuple[Any, ...]:
    """Stand in for `xpnet.optimizers.Adam.direction`."""
    m = torch.lerp(memory[0], g, 1 - optimizer.beta1)
    v = torch.mul(memory[1], optimizer.beta2).addcmul_(g, g, value=1 - optimizer.beta2)
    return m, torch.sqrt(v).mul_(numbers["scale"]).add_(numbers["eps"]), m, v


_DIRECTIONS = {rule.__name__: rule for rule in (sgd, momentum, nesterov, adagrad, rmsprop, adam)}


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
    decay = optimizer.weight_decay
    if decay and not optimizer.decoupled:
        g = torch.add(g, p, alpha=decay)
    direction, divisor, *memory = _DIRECTIONS[optimizer.rule](optimizer, g, memory, numbers)
    if (decay and optimizer.decoupled) or not isinstance(lr, float):
        direction = direction if divisor is None else torch.div(direction, divisor)
        if decay and optimizer.decoupled:
            direction = torch.add(direction, p, alpha=decay)
        if isinstance(lr, float):
            return torch.sub(p, direction, alpha=lr), *memory
        return torch.addcmul(p, direction, lr, value=-1), *memory
    if divisor is None:
        return torch.sub(p, direction, alpha=lr), *memory
    return torch.addcdiv(p, direction, divisor, value=-lr), *memory


RULES = dict.fromkeys(_DIRECTIONS, moves)
