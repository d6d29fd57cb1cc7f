"""How many threads PyTorch computes with on a CPU."""

from __future__ import annotations

from collections.abc import Callable

import torch

from xpnet_backends.small_steps import OneThread

__all__ = ["ONE_THREAD"]


def _limit() -> Callable[[], None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    return lambda: torch.set_num_threads(before)


ONE_THREAD = OneThread(_limit, "OMP", "MKL")
"""PyTorch's threads wait for each other in each operation: on a busy machine, a small network with two takes
twenty times as long as with one."""
