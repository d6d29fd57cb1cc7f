"""xpnet: on NumPy as `fit` trains, by the plain layers, and on other libraries."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from benchmarks.peers.peer import Peer
from benchmarks.work import BETA1, BETA2, EPS, Array, Work
from xpnet import SGD, Adam, Predictor, get_backend
from xpnet.backend import Backend
from xpnet.layers import Affine, Layer, Relu
from xpnet.networks import Network
from xpnet.training.batches import first_counter
from xpnet.training.data import Data
from xpnet.training.step import Optimizer, Step, first_carry, training_step, with_kernels

__all__ = ["predictor", "training"]


def step_of_fit(network: Network, optimizer: Optimizer, backend: Backend) -> Step:
    """Make the step that `fit` takes. The carry it is given may be destroyed."""
    step = training_step(network.with_kernels(backend.kernels), with_kernels(optimizer, backend), False)
    return backend.compile(step, donate=True, record=True)


def network_of(work: Work, backend: Backend) -> Network:
    """Make the network, with weights of its own."""
    layers: list[Layer] = []
    for W, b in work.weights():
        layers += [Affine(backend.asarray(W), backend.asarray(b)), Relu()]
    return Network(layers[:-1])


class Xpnet(Peer):
    """xpnet's step, in the loop over the batches that is `fit`'s."""

    def __init__(self, work: Work, library: str, plain: bool = False) -> None:
        self.backend = backend = get_backend(library)
        network = network_of(work, backend)
        optimizer = SGD(work.lr) if work.optimizer == "SGD" else Adam(work.lr, BETA1, BETA2, EPS)
        x, t = work.data()
        self.data = Data(backend, {"x": backend.asarray(x), "t": backend.asarray(t)})
        self.carry = first_carry(network, optimizer, backend.asarray(first_counter(0)))
        self.step = training_step(network, optimizer, False) if plain else step_of_fit(
            network, optimizer, backend)

    def train(self, batches: Any) -> list[Array]:
        carry, step, losses = self.carry, self.step, []
        for batch in self.data.batches(batches, 0):
            carry, loss = step(carry, *batch)
            losses.append(loss)
        self.carry = carry
        self.backend.synchronize()
        return losses


class WithoutNumba(Xpnet):
    """xpnet's step as it is without the extra `fast`."""

    def train(self, batches: Any) -> list[Array]:
        names = ("affine", "cross_entropy", "relu", "updates")
        modules: list[Any] = [importlib.import_module(f"xpnet_backends.numpy_{name}") for name in names]
        before = [module.loops for module in modules]
        for module in modules:
            module.loops = None
        try:
            return super().train(batches)
        finally:
            for module, loops in zip(modules, before, strict=True):
                module.loops = loops


def training(work: Work, threads: int) -> dict[str, Any]:
    """Give the contenders, ready to be made."""
    found = {"xpnet on NumPy": lambda: Xpnet(work, "numpy"),
             "xpnet on NumPy, without Numba": lambda: WithoutNumba(work, "numpy"),
             "xpnet on NumPy, plain layers": lambda: Xpnet(work, "numpy", plain=True)}
    if importlib.util.find_spec("torch") is not None:
        found["xpnet on PyTorch"] = lambda: Xpnet(work, "torch")
    if importlib.util.find_spec("jax") is not None:
        found["xpnet on JAX"] = lambda: Xpnet(work, "jax")
    return found


def predictor(work: Work, rows: int, threads: int) -> dict[str, Any]:
    """Give functions of `x (rows, D)` that predict."""
    network = network_of(work, get_backend("numpy"))
    return {"xpnet on NumPy": Predictor(network), "xpnet on NumPy, plain layers": network.predict}
