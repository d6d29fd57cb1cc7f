"""PyTorch: by its autograd, compiled, with fused updates, and with the step written by hand."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import torch

from benchmarks.peers.peer import Peer
from benchmarks.work import BETA1, BETA2, EPS, Array, Work

__all__ = ["predictor", "training"]

functional = torch.nn.functional


def module(work: Work) -> Any:
    """Make the network of PyTorch's modules."""
    layers: list[Any] = []
    for W, b in work.weights():
        linear = torch.nn.Linear(*W.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(W.T))
            linear.bias.copy_(torch.from_numpy(b))
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def data_of(work: Work) -> Iterator[Array]:
    """Give the rows and labels, which share NumPy's memory."""
    return map(torch.from_numpy, work.data())


class Autograd(Peer):
    """PyTorch's modules, autograd and optimisers."""

    def __init__(self, work: Work, compiled: bool = False, fused: bool = False) -> None:
        self.x, self.t = data_of(work)
        model = module(work)

        def loss(x: Array, t: Array) -> Array:
            return functional.cross_entropy(model(x), t)

        self.loss: Callable[[Array, Array], Array] = torch.compile(loss) if compiled else loss
        keywords: dict[str, Any] = {"fused": True} if fused else {}
        if work.optimizer == "Adam":
            keywords |= {"betas": (BETA1, BETA2), "eps": EPS}
        self.optimizer = getattr(torch.optim, work.optimizer)(model.parameters(), work.lr, **keywords)

    def place(self, batches: Array) -> Any:
        return list(torch.from_numpy(batches))

    def train(self, batches: Any) -> list[Array]:
        losses = []
        for rows in batches:
            self.optimizer.zero_grad()
            loss = self.loss(self.x.index_select(0, rows), self.t.index_select(0, rows))
            loss.backward()
            self.optimizer.step()
            losses.append(loss.detach())
        return losses


class ByHand(Peer):
    """The step that xpnet's layers take, in PyTorch's own functions, without autograd.

    Nothing is written into: what an update gives are new arrays, as in xpnet.
    """

    def __init__(self, work: Work) -> None:
        self.x, self.t = data_of(work)
        self.lr, self.steps = work.lr, 0
        self.params = [torch.from_numpy(p) for layer in work.weights() for p in layer]
        self.memory = [(torch.zeros_like(p), torch.zeros_like(p)) for p in self.params]
        self.update = self.sgd if work.optimizer == "SGD" else self.adam

    def place(self, batches: Array) -> Any:
        return list(torch.from_numpy(batches))

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def train(self, batches: Any) -> list[Array]:
        losses = []
        for rows in batches:
            loss, grads = self.loss_and_gradients(
                self.x.index_select(0, rows), self.t.index_select(0, rows))
            self.update(grads)
            losses.append(loss)
        return losses

    def loss_and_gradients(self, x: Array, t: Array) -> tuple[Array, list[Array]]:
        """Go forward and backward."""
        Ws, bs = self.params[::2], self.params[1::2]
        hs = [x]
        for W, b in zip(Ws[:-1], bs[:-1], strict=True):
            hs.append(torch.relu(torch.addmm(b, hs[-1], W)))
        log_y = torch.log_softmax(torch.addmm(bs[-1], hs[-1], Ws[-1]), 1)
        loss = functional.nll_loss(log_y, t)
        dout = (log_y.exp() - functional.one_hot(t, log_y.shape[1])) / len(x)
        grads: list[Array] = []
        for k in reversed(range(len(Ws))):
            grads[:0] = [hs[k].mT @ dout, dout.sum(0)]
            if k:
                dout = torch.ops.aten.threshold_backward(dout @ Ws[k].mT, hs[k], 0)
        return loss, grads

    def sgd(self, grads: list[Array]) -> None:
        """Update by SGD's rule."""
        self.params = [torch.sub(p, g, alpha=self.lr) for p, g in zip(self.params, grads, strict=True)]

    def adam(self, grads: list[Array]) -> None:
        """Update by Adam's rule."""
        self.steps += 1
        correction1, correction2 = 1 - BETA1**self.steps, 1 - BETA2**self.steps
        params, memory = [], []
        for p, g, (m, v) in zip(self.params, grads, self.memory, strict=True):
            m = torch.lerp(m, g, 1 - BETA1)
            v = torch.addcmul(BETA2 * v, g, g, value=1 - BETA2)
            root = v.sqrt() / correction2**0.5 + EPS
            params.append(torch.addcdiv(p, m, root, value=-self.lr / correction1))
            memory.append((m, v))
        self.params, self.memory = params, memory


def training(work: Work, threads: int) -> dict[str, Any]:
    """Give the contenders, ready to be made."""
    torch.set_num_threads(threads)
    found = {"PyTorch, by hand, no autograd": lambda: ByHand(work),
             "PyTorch": lambda: Autograd(work),
             "PyTorch, fused": lambda: Autograd(work, fused=True)}
    if shutil.which("g++") or shutil.which("clang++"):  # which its compiler calls
        found["PyTorch, torch.compile"] = lambda: Autograd(work, compiled=True)
    return found


def predictor(work: Work, rows: int, threads: int) -> dict[str, Any]:
    """Give functions of `x (rows, D)` that predict."""
    torch.set_num_threads(threads)
    model = module(work).eval()

    def predict(x: Array) -> Array:
        with torch.inference_mode():
            return model(torch.from_numpy(x)).numpy()

    return {"PyTorch": predict}
