"""How many threads PyTorch computes with on a CPU."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

__all__ = ["one_if_small"]

SMALL = 2e8
"""Additions and multiplications that one thread does in about two milliseconds."""

_lock = threading.Lock()
_users, _threads = 0, 0


def one_if_small(operations: float) -> AbstractContextManager[None]:
    """Let PyTorch have one thread, if a step is no more work than that.

    Its threads wait for each other in each operation: on a busy machine, a small network with two takes twenty
    times as long as with one. What the environment says of threads is left alone.

    Parameters
    ----------
    operations : float
        Additions and multiplications of a step.
    """
    said = any(os.environ.get(f"{name}_NUM_THREADS") for name in ("OMP", "MKL"))
    return nullcontext() if said or operations >= SMALL else _one()


@contextmanager
def _one() -> Iterator[None]:
    """Of those who want one thread at the same time, the first sets it, and the last one sets it back."""
    global _users, _threads
    with _lock:
        if not _users:
            _threads = torch.get_num_threads()
            torch.set_num_threads(1)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                torch.set_num_threads(_threads)
