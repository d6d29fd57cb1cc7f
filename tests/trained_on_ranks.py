"""Runs of training, of which N ranks are to give what one process gives; as a program, it is a rank."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet import (
    SGD,
    Adam,
    Affine,
    Backend,
    BatchNormalization,
    Convolution,
    Dropout,
    EarlyStopping,
    Flatten,
    MeanSquaredError,
    Momentum,
    MultiLayerNet,
    Network,
    Relu,
    Residual,
    Sequential,
    SigmoidWithLoss,
    SoftmaxWithLoss,
    fit,
    get_backend,
)

RNG = np.random.default_rng(0)
X, T = RNG.standard_normal((160, 12)), RNG.integers(0, 5, 160)
IMAGES = RNG.standard_normal((160, 2, 6, 5))
WEIGHT = np.where(RNG.random(160) < 0.3, 0, RNG.random(160))
BATCH, EPOCHS = 32, 40
"""200 steps; 32 rows do not divide by 3, and 31 not by 2 either."""


def mlp(backend: Backend, seed: Any = 0, **options: Any) -> Network:
    return MultiLayerNet(12, [16, 8], 5, seed=seed, backend=backend, dtype="float64", **options)


def deep(backend: Backend) -> Network:
    """Give a network with layers within layers, images, and statistics of both kinds."""
    rng = np.random.default_rng(1)

    def array(*shape: int) -> Any:
        return backend.asarray(0.3 * rng.standard_normal(shape))

    def affine(D: int, M: int) -> Affine:
        return Affine(array(D, M), array(M))

    def normalization(C: int) -> BatchNormalization:
        return BatchNormalization(backend.asarray(np.ones(C)), array(C))

    return Network([
        Convolution(array(3, 2, 3, 3), array(3)), normalization(3), Relu(), Flatten(), affine(36, 8),
        Residual([Relu(), Dropout(0.2), affine(8, 8), normalization(8)]), Relu(), affine(8, 5),
    ])


class Slow(Sequential):
    """Layers that learn a tenth as fast: what is done to their gradients after they went backward counts."""

    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        for leaf in self.leaves():
            for name, g in leaf.grads.items():
                setattr(leaf, f"d{name}", 0.1 * g)
        return dx


def slow(backend: Backend) -> Network:
    first, *rest = mlp(backend).layers.values()
    return Network([first, Slow(rest[:2]), *rest[2:]])


def with_loss(net: Network, loss: Any) -> Network:
    net.last_layer = loss
    return net


MOMENTUM = Momentum(0.05, clip_norm=0.5, weight_decay=1e-3)
"""Not Adam where there is batch normalisation: it divides the gradient of a bias before that, which is 0 but
for rounding, by itself."""
Case = tuple[Callable[[Backend], Network], NDArray[Any], NDArray[Any], dict[str, Any]]
CASES: dict[str, Case] = {
    "plain": (mlp, X, T, {"optimizer": SGD(0.1)}),
    "batches of 31": (mlp, X, T, {"optimizer": SGD(0.1), "batch_size": 31}),
    "clipping and decay": (mlp, X, T, {"optimizer": Adam(0.01, clip_norm=0.5, weight_decay=1e-3)}),
    "a penalty": (lambda b: mlp(b, weight_decay_lambda=0.01), X, T, {"optimizer": MOMENTUM}),
    "batch normalisation": (lambda b: mlp(b, use_batchnorm=True), X, T, {"optimizer": MOMENTUM}),
    "dropout": (lambda b: mlp(b, use_dropout=True, dropout_ration=0.3), X, T, {"optimizer": MOMENTUM}),
    "images": (deep, IMAGES, T, {"optimizer": MOMENTUM}),
    "weights": (lambda b: with_loss(mlp(b), SoftmaxWithLoss(0.1, class_weights=[1.0, 2.0, 0.5, 0.0, 3.0])), X, T,
                {"optimizer": MOMENTUM, "sample_weight": WEIGHT}),
    "numbers": (lambda b: with_loss(mlp(b), MeanSquaredError()), X, X[:, :5],
                {"optimizer": SGD(0.02), "sample_weight": WEIGHT}),
    "labels": (lambda b: with_loss(mlp(b), SigmoidWithLoss()), X, (X[:, :5] > 0).astype(float),
               {"optimizer": MOMENTUM}),
    "a stack": (lambda b: mlp(b, seed=[0, 1], use_batchnorm=True, use_dropout=True), X, T,
                {"optimizer": Momentum([0.05, 0.02]), "sample_weight": WEIGHT}),
    "a stack with orders of its own": (lambda b: mlp(b, seed=[0, 1], use_batchnorm=True, use_dropout=True), X, T,
                                       {"optimizer": MOMENTUM, "seed": [3, 4]}),
    "layers of one's own": (slow, X, T, {"optimizer": MOMENTUM}),
    "all at once": (lambda b: with_loss(
        mlp(b, use_batchnorm=True, use_dropout=True, weight_decay_lambda=0.01),
        SoftmaxWithLoss(class_weights=[1.0, 2.0, 0.5, 0.0, 3.0])), X, T,
                    {"optimizer": MOMENTUM, "sample_weight": WEIGHT, "batch_size": 31}),
    "early stopping": (mlp, X, T, {"optimizer": Adam(0.02), "validation": 0.2,
                                   "early_stopping": EarlyStopping(3)}),
}


def cases_of(library: str) -> list[str]:
    """Give the cases of a library: fewer of those that take seconds for each."""
    return {"jax": ["batches of 31", "all at once"], "strict": ["all at once", "a stack"]}.get(
        library.partition(":")[0], [*CASES])


def train(case: str, backend: Backend, comm: Any = None, **others: Any) -> tuple[Network, Any]:
    """Train; give the network and the history."""
    make, x, t, options = CASES[case]
    options = {"batch_size": BATCH, "epochs": EPOCHS} | options | others
    if "sample_weight" in options:
        options["sample_weight"] = backend.asarray(options["sample_weight"])
    net = make(backend)
    history = fit(net, backend.asarray(x), backend.asarray(t), progress=False, comm=comm, **options)
    return net, history


def values(net: Network, backend: Backend) -> dict[str, NDArray[Any]]:
    return {name: np.asarray(backend.to_numpy(a)) for name, a in {**net.params, **net.state}.items()}


if __name__ == "__main__":
    from mpi4py import MPI

    library, folder = sys.argv[1:]
    its_backend = get_backend(library)
    its_backend.enable_float64()
    world = MPI.COMM_WORLD
    for name in cases_of(library):
        its_net, found = train(name, its_backend, world)
        if world.rank == world.size - 1:  # the weights are every rank's
            saved: dict[str, Any] = {"losses": [epoch.loss for epoch in found.epochs],
                                     **values(its_net, its_backend)}
            np.savez(Path(folder) / f"{name}.npz", **saved)
