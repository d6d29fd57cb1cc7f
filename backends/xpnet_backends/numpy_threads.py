"""How many threads compute: BLAS's, and those that share the images of a batch."""

from __future__ import annotations

import contextvars
import functools
import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TypeVar

from xpnet_backends.small_steps import Threads, processors

__all__ = ["share", "suiting", "thread_count"]

Result = TypeVar("Result")


def suiting(operations: float, processes: int = 1) -> AbstractContextManager[object]:
    """Let BLAS have one thread, if a step is no more work than that, and else its part of the processors.

    Threads hand over work several times in a product, and wait for each other. Where another process
    has one of the processors, each wait may take milliseconds: on a busy machine a small network with two
    threads takes many times as long as with one. What an idle machine loses by it is less. Which it is does
    not depend on the machine, since the sums of BLAS depend on the number of its threads.

    It wants threadpoolctl, and leaves alone what the environment says of threads.

    Parameters
    ----------
    operations : float
        Additions and multiplications of a step.
    processes : int
        How many processes share the processors.
    """
    stack = ExitStack()
    stack.enter_context(_beside(processes))
    if importlib.util.find_spec("threadpoolctl") is not None:
        stack.enter_context(_THREADS.suiting(operations, processes))
    return stack


_processes = 1


@contextmanager
def _beside(processes: int) -> Iterator[None]:
    """Let threads of xpnet's own leave room for those of other processes."""
    global _processes
    before, _processes = _processes, processes
    try:
        yield
    finally:
        _processes = before


def _limit(threads: int) -> Callable[[], None]:
    limits = importlib.import_module("threadpoolctl").threadpool_limits(threads, "blas")
    return limits.restore_original_limits


_THREADS = Threads(_limit, "OPENBLAS", "MKL", "BLIS", "OMP")


def thread_count() -> int:
    """Tell among how many threads work is shared.

    One, because NumPy's BLAS has threads of its own, which others would only get in the way of. Where
    it is told to have none (`OPENBLAS_NUM_THREADS=1`), as many as `OMP_NUM_THREADS` says or there
    are processors: that is the faster way, since it shares more than the products of matrices.
    """
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        return 1
    said = os.environ.get("OMP_NUM_THREADS", "")
    if said.isdecimal():
        return max(1, int(said))
    return max(1, processors() // _processes)


def share(
    work: Callable[[int, int], Result], count: int, at_a_time: int | None = None
) -> list[Result]:
    """Divide a range between threads, and give what `work(first, last)` returns for the parts.

    Parameters
    ----------
    work : function
        What to do for `first <= k < last`.
    count : int
        The length of the range.
    at_a_time : int, optional
        Call it for so many at a time, so that what it computes stays in the processor's cache; by
        default once in each thread.
    """
    threads = max(1, min(thread_count(), count))
    cuts = [count * k // threads for k in range(threads + 1)]

    def part(first: int, last: int) -> list[Result]:
        step = at_a_time or max(1, last - first)
        return [work(k, min(k + step, last)) for k in range(first, last, step)]

    # In a context like this one's, where NumPy keeps `errstate`; no two threads can share one.
    futures = [_others().submit(contextvars.copy_context().run, part, cuts[k], cuts[k + 1])
               for k in range(1, threads)]
    parts = [part(cuts[0], cuts[1]), *(future.result() for future in futures)]
    return [result for results in parts for result in results]


@functools.cache
def _others() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_count() - 1, thread_name_prefix="xpnet")


if hasattr(os, "register_at_fork"):  # a forked process has no threads but the one that forked it
    os.register_at_fork(after_in_child=_others.cache_clear)
