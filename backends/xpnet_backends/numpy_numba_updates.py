"""The optimisers' rules as loops that Numba compiles: see `numpy_numba`.

Each takes flat arrays: the parameter, its gradient, what is remembered; then what `Optimizer.move` adds to
all rules (learning rate, L2 and decoupled weight decay); the rule's own numbers; and last where to write.
The operations are those of the plain rules, in their order: the results are the same bit for bit.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import njit

from xpnet_backends.numpy_recording import in_place
from xpnet_backends.numpy_threads import share

__all__ = ["MANY", "RULES"]

MANY = 2**17
"""Numbers from which on several threads are worth their start."""


def loop(function: Any) -> Any:
    """Compile a loop, let threads share what is long, and let it be recorded."""
    compiled = njit(function, cache=True, nogil=True, error_model="numpy")

    @in_place
    @functools.wraps(function)
    def run(*args: Any) -> None:
        size = args[0].size
        if size < MANY:
            compiled(*args)
        else:
            share(lambda first, last: compiled(*(
                a[first:last] if isinstance(a, np.ndarray) and a.ndim else a for a in args
            )), size)

    return run


@njit(inline="always")  # type: ignore[untyped-decorator]
def drawn(d: Any, p: Any, decay: Any) -> Any:
    """Add weight decay, if there is any."""
    return d + decay * p if decay else d


@loop
def sgd(p: Any, g: Any, lr: Any, l2: Any, decay: Any, new: Any) -> None:
    """Take a step of `xpnet.SGD`."""
    rate = lr[()]
    for k in range(p.size):
        d = drawn(g[k], p[k], l2)
        new[k] = p[k] - rate * drawn(d, p[k], decay)


@loop
def momentum(
    p: Any, g: Any, v: Any, lr: Any, l2: Any, decay: Any, mu: Any, new: Any, new_v: Any
) -> None:
    """Take a step of `xpnet.Momentum`."""
    rate = lr[()]
    for k in range(p.size):
        new_v[k] = mu * v[k] + drawn(g[k], p[k], l2)
        new[k] = p[k] - rate * drawn(new_v[k], p[k], decay)


@loop
def nesterov(
    p: Any, g: Any, v: Any, lr: Any, l2: Any, decay: Any, mu: Any, new: Any, new_v: Any
) -> None:
    """Take a step of `xpnet.Nesterov`."""
    rate = lr[()]
    for k in range(p.size):
        d = drawn(g[k], p[k], l2)
        new_v[k] = mu * v[k] + d
        new[k] = p[k] - rate * drawn(d + mu * new_v[k], p[k], decay)


@loop
def adagrad(
    p: Any, g: Any, h: Any, lr: Any, l2: Any, decay: Any, eps: Any, new: Any, new_h: Any
) -> None:
    """Take a step of `xpnet.AdaGrad`."""
    rate = lr[()]
    for k in range(p.size):
        d = drawn(g[k], p[k], l2)
        new_h[k] = h[k] + d * d
        new[k] = p[k] - rate * drawn(d / (np.sqrt(new_h[k]) + eps), p[k], decay)


@loop
def rmsprop(
    p: Any, g: Any, h: Any, lr: Any, l2: Any, decay: Any, keep: Any, add: Any, eps: Any, new: Any,
    new_h: Any,
) -> None:
    """Take a step of `xpnet.RMSprop`."""
    rate = lr[()]
    for k in range(p.size):
        d = drawn(g[k], p[k], l2)
        new_h[k] = keep * h[k] + add * (d * d)
        new[k] = p[k] - rate * drawn(d / (np.sqrt(new_h[k]) + eps), p[k], decay)


@loop
def adam(
    p: Any, g: Any, m: Any, v: Any, lr: Any, l2: Any, decay: Any, keep1: Any, add1: Any, keep2: Any,
    add2: Any, scale: Any, eps: Any, new: Any, new_m: Any, new_v: Any,
) -> None:
    """Take a step of `xpnet.Adam`."""
    rate, factor, least = lr[()], scale[()], eps[()]
    for k in range(p.size):
        d = drawn(g[k], p[k], l2)
        new_m[k] = keep1 * m[k] + add1 * d
        new_v[k] = keep2 * v[k] + add2 * (d * d)
        d = new_m[k] / (factor * np.sqrt(new_v[k]) + least)
        new[k] = p[k] - rate * drawn(d, p[k], decay)


RULES = {
    "sgd": (sgd, lambda o: ()),
    "momentum": (momentum, lambda o: (o.momentum,)),
    "nesterov": (nesterov, lambda o: (o.momentum,)),
    "adagrad": (adagrad, lambda o: (o.eps,)),
    "rmsprop": (rmsprop, lambda o: (o.decay_rate, 1 - o.decay_rate, o.eps)),
    "adam": (adam, lambda o: (o.beta1, 1 - o.beta1, o.beta2, 1 - o.beta2)),
}
"""The loop of each rule, and the numbers that it takes of the optimiser."""
