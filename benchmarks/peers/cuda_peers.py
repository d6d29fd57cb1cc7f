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
        # Numbers as in a step, half of them 0 behind a ReLU: how they are decides over a GPU's power, and so its time.
        hs = [rng.random((work.batch, work.sizes[0]), np.float32)]
        hs += [np.maximum(rng.standard_normal((work.batch, size), np.float32), 0) for size in work.sizes[1:]]
        douts = [np.float32(1e-3) * rng.standard_normal(h.shape, np.float32) * (h > 0) for h in hs]
        hs, douts = ([cupy.asarray(a) for a in arrays] for arrays in (hs, douts))
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
