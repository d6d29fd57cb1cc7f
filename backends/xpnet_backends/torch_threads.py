"""How many threads PyTorch computes with on a CPU."""

from __future__ import annotations

from collections.abc import Callable

import torch

from xpnet_backends.small_steps import Threads

__all__ = ["THREADS"]


def _limit(threads: int) -> Callable[[], None]:
    before = torch.get_num_threads()
    torch.set_num_threads(min(threads, before))
    return lambda: torch.set_num_threads(before)


THREADS = Threads(_limit, "OMP", "MKL")
"""PyTorch's threads wait for each other in each operation: on a busy machine, a small network with two takes
twenty times as long as with one."""
