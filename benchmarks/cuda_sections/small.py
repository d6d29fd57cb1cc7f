"""784-50-10, batch 100: how long it takes to tell a GPU what to do."""

from __future__ import annotations

from benchmarks.cuda_sections.found import Found
from benchmarks.cuda_sections.large import set_precision
from benchmarks.cuda_sections.training import Contenders, compare, hold
from benchmarks.report import Times
from benchmarks.work import SMALL, TINY

__all__ = ["run"]

COMPILED = "PyTorch, torch.compile"
"""Is asked in `large` alone: it takes half a minute."""


def run(found: Found) -> None:
    """Time steps of everybody."""
    set_precision(found, tf32=False)
    work, block, rounds = (TINY[0], 3, 2) if found.dry else (SMALL, 200, 31)

    def judge(times: Times, contenders: Contenders) -> None:
        for bar, other, most in (("eager", "PyTorch", 0.25), ("graph", "PyTorch, torch.cuda.CUDAGraph", 1.0),
                                 ("jit", "JAX, value_and_grad in jit", 1.0)):
            hold(found, bar, times, contenders, other, most)

    compare(found, work, agree=(20, 1e-4), block=block, rounds=rounds, budget=12, patience=15, judge=judge,
            without=(COMPILED,))
