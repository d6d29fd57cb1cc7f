"""On a GPU through CuPy: the bare products, and xpnet."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from benchmarks.peers.peer import Peer
from benchmarks.peers.xpnet_peers import Xpnet
from benchmarks.work import Work

__all__ = ["OURS", "PRODUCTS", "training"]

PRODUCTS, OURS = "bare products, cupy.matmul", "xpnet on CuPy"


class Products(Peer):
    """cuBLAS's products, into memory that is there already, in the layouts that are natural.

    A layer's `h @ W`, `h.T @ dout` and, but for the first, `dout @ W.T`.
    """

    computes = False

    def __init__(self, work: Work) -> None:
        Ws = [cupy.asarray(W) for W, _ in work.weights()]
        rng = np.random.default_rng(0)
        # Random numbers: those that are all the same cost a GPU less power, and so less time.
        hs = [cupy.asarray(rng.random((work.batch, size), np.float32)) for size in work.sizes]
        douts = [cupy.asarray(rng.standard_normal((work.batch, size), np.float32) * np.float32(1e-3))
                 for size in work.sizes]
        # What is written is not read: else numbers would grow from step to step.
        self.products = [(h, W, cupy.empty_like(y)) for h, W, y in zip(hs, Ws, hs[1:], strict=False)]
        for k in reversed(range(len(Ws))):
            self.products.append((hs[k].T, douts[k + 1], cupy.empty_like(Ws[k])))
            if k:
                self.products.append((douts[k + 1], Ws[k].T, cupy.empty_like(douts[k])))

    def train(self, batches: Any) -> Any:
        for _ in batches:
            for a, b, out in self.products:
                cupy.matmul(a, b, out=out)
        cupy.cuda.Device().synchronize()


def training(work: Work) -> dict[str, Any]:
    """Give the contenders, ready to be made."""
    return {PRODUCTS: lambda: Products(work),
            OURS: lambda: Xpnet(work, "cuda"),
            f"{OURS}, plain layers": lambda: Xpnet(work, "cuda", plain=True)}
