"""784-4096-4096-10, batch 8192: how much of a GPU's arithmetic a step makes use of."""

from __future__ import annotations

import importlib
from typing import Any

from benchmarks.cuda_sections.found import Found
from benchmarks.cuda_sections.training import Contenders, compare, hold, product_errors
from benchmarks.peers.cuda_peers import OURS, PRODUCTS
from benchmarks.report import Times, ratios
from benchmarks.work import Work

__all__ = ["measure", "run", "set_precision"]

LARGE = Work((784, 4096, 4096, 10), 8192, "SGD", steps=4, lr=0.01)
TINY = Work((20, 16, 12, 10), 50, "SGD", steps=2, rows=1000)
COMPILED = "PyTorch, torch.compile"


def run(found: Found) -> None:
    """Time steps of everybody, with products in float32."""
    measure(found, tf32=False)


def measure(found: Found, tf32: bool) -> None:
    """Time steps of everybody."""
    product_errors(found, set_precision(found, tf32))
    work, block, rounds = (TINY, 2, 2) if found.dry else (LARGE, 4, 15)

    def judge(times: Times, contenders: Contenders) -> None:
        low, ratio, high = ratios({PRODUCTS: times[PRODUCTS], OURS: times[OURS]}, OURS)[PRODUCTS]
        found.figure("products to xpnet", [low, ratio, high], times=True)
        found.bar("products", ratio >= 0.95, f"{ratio:.3f} ({low:.3f} to {high:.3f})")
        hold(found, "compile", times, contenders, COMPILED, 1.0)

    compare(found, work, agree=(3, 1e-2 if tf32 else 1e-4), block=block, rounds=rounds, budget=12, patience=30,
            judge=judge, without=(COMPILED,) if found.dry else ())


def set_precision(found: Found, tf32: bool) -> Any:
    """Let products of float32 be computed with or without TF32 everywhere in this process; give xpnet's backend.

    Each library has its own default: JAX uses TF32 on a GPU, and PyTorch in convolutions.
    """
    from xpnet import get_backend
    backend = get_backend("cuda")
    if tf32:
        backend.enable_tf32()
    try:
        torch = importlib.import_module("torch")
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    except Exception as error:  # noqa: BLE001  who is not there, or broken, is left out later
        found.note(f"PyTorch was not told: {type(error).__name__}.")
    try:
        jax = importlib.import_module("jax")
        jax.config.update("jax_default_matmul_precision", "tensorfloat32" if tf32 and not found.dry else "float32")
    except Exception as error:  # noqa: BLE001
        found.note(f"JAX was not told: {type(error).__name__}.")
    return backend
