"""JAX on its own device, a GPU where it has one: whole steps under `jit`, and many steps as one scan."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers.jax_peers import Jax
from benchmarks.work import Array, Work

__all__ = ["JIT", "check", "training"]

JIT = "JAX, value_and_grad in jit"


def check(dry: bool) -> None:
    """Refuse a JAX that computes on the CPU (ImportError), but in a dry run."""
    if not dry and jax.default_backend() != "gpu":
        raise ImportError(f"JAX {jax.__version__} sees no GPU")


class JaxOnDevice(Jax):
    """A step under `jit`; row numbers lie on the device before it is timed, as they do for the others."""

    def place(self, batches: Array) -> Any:
        placed = jnp.asarray(batches.astype(np.int32))
        return placed if self.scan else list(placed)


def training(work: Work) -> dict[str, Any]:
    """Give the contenders, ready to be made."""
    return {JIT: lambda: JaxOnDevice(work), "JAX, scan over a block": lambda: JaxOnDevice(work, scan=True)}
