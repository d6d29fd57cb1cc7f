"""The learning rate of a step: a number, what a schedule says, or one a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from xpnet._numbers import positive, real_number
from xpnet.functional._array import Array, array_namespace, device, joined
from xpnet.optimizers.schedules import Schedule

__all__ = ["LearningRate", "checked_rate", "is_scheduled", "rate_of_step"]

Rate: TypeAlias = float | Schedule
LearningRate: TypeAlias = Rate | Sequence[Rate]


def checked_rate(where: str, lr: LearningRate) -> Rate | tuple[Rate, ...]:
    """Give the learning rate with its numbers as Python floats, and a sequence as a tuple."""
    try:
        rates = None if isinstance(lr, str) else tuple(lr)  # type: ignore[arg-type]  # a number raises
    except TypeError:
        rates = None
    if rates is None:
        return lr if callable(lr) else positive(where, "a learning rate lr", lr)
    if not rates:
        raise ValueError(f"{where} wants a learning rate lr for each network of a stack; got none")
    return tuple(r if callable(r) else positive(where, "each learning rate lr", r) for r in rates)


def is_scheduled(lr: LearningRate) -> bool:
    """Tell whether the learning rate depends on the step."""
    return any(callable(rate) for rate in (lr if isinstance(lr, tuple) else (lr,)))


def rate_of_step(
    where: str, lr: LearningRate, step: Array | None, like: Array, stack: tuple[int, ...]
) -> float | Array:
    """Give the learning rate of a step.

    Parameters
    ----------
    where : str
        Who asks.
    lr : LearningRate
        What `checked_rate` gave.
    step : array or None
        The number of steps taken before, 0-dimensional; may be None if nothing is scheduled.
    like : array
        What says the dtype and the device.
    stack : tuple of int
        The lengths of the stack's axes.

    Returns
    -------
    float or array
        0-dimensional from a schedule, `(K,)` from a sequence.
    """
    if isinstance(lr, float):
        return lr
    xp = array_namespace(like)
    t = None if step is None else xp.astype(step, like.dtype)
    rates = lr if isinstance(lr, tuple) else (lr,)
    now = [rate(t) if callable(rate) else rate for rate in rates]
    for rate in now:
        if not hasattr(rate, "shape"):
            real_number(where, "what a schedule gives", rate)
        elif rate.shape != ():
            raise ValueError(f"{where} wants a schedule to give one number; "
                             f"got an array of shape {tuple(rate.shape)}")
    if not isinstance(lr, tuple):
        return now[0]
    if stack != (len(now),):
        raise ValueError(f"{where} has {len(now)} learning rates, for a stack of as many networks: "
                         f"stack_axes=1 and parameters ({len(now)}, …); got stack axes {stack}")
    return joined([
        # full, not asarray, which would copy from the host at each step
        rate[None] if hasattr(rate, "shape") else xp.full((1,), rate, dtype=like.dtype, device=device(like))
        for rate in now
    ])
