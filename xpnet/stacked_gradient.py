"""Numerical gradients of many perturbed arrays at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import array_api_compat

from xpnet.functional._array import Array, array_namespace, device
from xpnet.gradient import perturbed

__all__ = ["chunk_elements", "stacked_numerical_gradient"]


def stacked_numerical_gradient(
    f: Callable[[Array], Array],
    x: Array,
    h: float | None = None,
    *,
    stack_axes: int = 0,
    copies: int | None = None,
    threads: int = 1,
) -> Array:
    """Compute the gradient of `f` at `x`, with many perturbed copies of `x` evaluated at once.

    Parameters
    ----------
    f : callable
        Takes an array `(c, *x.shape)`, a stack of c arrays like `x`, and returns the value for
        each, `(c, *stack)`. It must not change the array or keep it.
    x : array
        `(*stack, *shape)`, of a real floating dtype.
    h : float, optional
        The step; by default that of `numerical_gradient`, for each member of the stack.
    stack_axes : int
        How many of the first axes of `x` are a stack of independent arrays, each with its own
        value of `f`.
    copies : int, optional
        How many copies to evaluate at once; by default as many as make `chunk_elements`, four times
        as many of immutable arrays, whose stacks are made anew each time.
    threads : int
        Among how many threads to divide these; `f` is then called from all of them.

    Returns
    -------
    array
        Of the shape, dtype and device of `x`.

    Raises
    ------
    TypeError, ValueError
        As `numerical_gradient`, of `x` and `h`.
    """
    xp = array_namespace(x)
    shape = tuple(x.shape)
    members, n = math.prod(shape[:stack_axes]), math.prod(shape[stack_axes:])
    points = perturbed(x, h, axes=tuple(range(stack_axes, x.ndim)))
    if members * n == 0:
        return xp.zeros_like(x)
    plus, minus = (xp.reshape(p, (members, n)) for p in points)
    mutable = array_api_compat.is_writeable_array(xp.zeros_like(x))
    if copies is None:
        copies = chunk_elements(x) * (1 if mutable else 4) // (members * n)
    count = max(1, min(n, copies // threads))

    def differences(firsts: Iterable[int]) -> list[Array]:
        with_elements = _replacer(xp.reshape(x, (members, n)), count, mutable)

        def values(points: Array, first: int) -> Array:
            stacks = with_elements(points[:, first:first + count], first)
            return xp.reshape(f(xp.reshape(stacks, (count, *shape))), (count, members))

        found = []
        for first in firsts:
            f_plus = xp.asarray(values(plus, first), copy=True)  # f may give a view of the stack
            found.append(f_plus - values(minus, first))
        return found

    # The last overlaps with that before: stacks are of one shape, compiled once.
    firsts = [min(first, n - count) for first in range(0, n, count)]
    share = -(-len(firsts) // threads)
    parts = [firsts[k:k + share] for k in range(0, len(firsts), share)]
    if threads == 1:
        columns = differences(firsts)
    else:
        with ThreadPoolExecutor(threads) as pool:
            jobs = [pool.submit(copy_context().run, differences, part) for part in parts]
            columns = [column for job in jobs for column in job.result()]
    *full, last = columns
    df = xp.concat([*full, last[len(full) * count - n:, :]], axis=0)
    return xp.reshape(df.mT / (plus - minus), shape)


def chunk_elements(x: Array) -> int:
    """Give how many elements to evaluate in one stack on the device of `x`.

    8 MiB of float64 on a CPU, of 2**16, 2**18 and 2**20 the fastest on NumPy; 128 MiB on a GPU, which
    launches make slow and has the memory.
    """
    on_gpu = any(word in str(device(x)).lower() for word in ("cuda", "gpu", "tpu", "mps", "xpu"))
    return 2**24 if on_gpu else 2**20


def _replacer(base: Array, count: int, mutable: bool) -> Callable[[Array, int], Array]:
    """Make a function that copies `base` `(members, n)` `count` times, with one other element each.

    `replace(values, first)` gives `(count, members, n)`, in whose k-th copy the element first + k
    is `values[:, k]`.
    """
    xp = array_namespace(base)
    members, n = base.shape
    if not mutable:
        copies = xp.arange(count, device=device(base))[:, None, None]
        columns = xp.arange(n, device=device(base))
        return lambda values, first: xp.where(
            columns - first == copies, values.mT[..., None], base
        )

    # Element first + k of the k-th copy is every (n+1)-th of all copies: a slice, in place.
    copies_of_base = xp.zeros((members, count, n), dtype=base.dtype, device=device(base))
    copies_of_base[...] = base[:, None, :]
    buffer = xp.reshape(copies_of_base, (members, count * n))
    span = (count - 1) * (n + 1) + 1
    dirty = 0

    def replace(values: Array, first: int) -> Array:
        nonlocal dirty
        buffer[:, dirty:dirty + span:n + 1] = base[:, dirty:dirty + count]
        buffer[:, first:first + span:n + 1] = values
        dirty = first
        return xp.permute_dims(xp.reshape(buffer, (members, count, n)), (1, 0, 2))

    return replace
