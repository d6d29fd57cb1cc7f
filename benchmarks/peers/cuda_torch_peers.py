"""PyTorch on a GPU: by its autograd, with fused updates, compiled, and as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.peers.peer import Peer
from benchmarks.peers.torch_peers import module
from benchmarks.work import Array, Work

__all__ = ["COMPILED", "EAGER", "GRAPH", "device", "training"]

EAGER, GRAPH, COMPILED = "PyTorch", "PyTorch, torch.cuda.CUDAGraph", "PyTorch, torch.compile"
functional = torch.nn.functional


def device(dry: bool) -> str:
    """Give the device to compute on.

    Raises
    ------
    ImportError
        If this PyTorch has none.
    """
    if dry:
        return "cpu"
    if not torch.cuda.is_available():
        raise ImportError(f"PyTorch {torch.__version__} sees no GPU")
    return "cuda"


class Torch(Peer):
    """PyTorch's modules, autograd and SGD."""

    def __init__(self, work: Work, device: str, fused: bool = False, compiled: bool = False) -> None:
        assert work.optimizer == "SGD", "others have a state that a graph's trials would have to restore"
        self.device = device
        self.x, self.t = (torch.from_numpy(a).to(device) for a in work.data())
        model = module(work).to(device)
        self.params = list(model.parameters())

        def loss(x: Array, t: Array) -> Array:
            return functional.cross_entropy(model(x), t)

        self.loss: Callable[[Array, Array], Array] = torch.compile(loss) if compiled else loss
        keywords: dict[str, Any] = {"fused": True} if fused else {}
        self.optimizer = torch.optim.SGD(self.params, work.lr, **keywords)

    def place(self, batches: Array) -> Any:
        return list(torch.from_numpy(batches).to(self.device))

    def step(self, rows: Array) -> Array:
        """Train on some rows, and give the loss before."""
        self.optimizer.zero_grad()
        loss = self.loss(self.x.index_select(0, rows), self.t.index_select(0, rows))
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def train(self, batches: Any) -> list[Array]:
        losses = [self.step(rows) for rows in batches]
        self.synchronize()
        return losses

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.device == "cuda":
            torch.cuda.synchronize()


class Graph(Torch):
    """The whole step as one graph: rows are copied to where it reads them, and it is launched."""

    def __init__(self, work: Work, device: str) -> None:
        super().__init__(work, device)
        before = [p.detach().clone() for p in self.params]
        self.rows = torch.zeros(work.batch, dtype=torch.int64, device=device)
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # as its documentation asks for, before anything is captured
            for _ in range(3):
                self.step(self.rows)
        torch.cuda.current_stream().wait_stream(aside)
        self.optimizer.zero_grad()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.found = self.step(self.rows)
        with torch.no_grad():
            for p, first in zip(self.params, before, strict=True):
                p.copy_(first)

    def train(self, batches: Any) -> list[Array]:
        losses = []
        for rows in batches:
            self.rows.copy_(rows)
            self.graph.replay()
            losses.append(self.found.clone())
        self.synchronize()
        return losses


def training(work: Work, device: str) -> dict[str, Any]:
    """Give the contenders, ready to be made."""
    return {EAGER: lambda: Torch(work, device),
            f"{EAGER}, fused": lambda: Torch(work, device, fused=True),
            COMPILED: lambda: Torch(work, device, compiled=True),
            GRAPH: lambda: Graph(work, device)}
