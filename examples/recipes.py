#!/usr/bin/env python3
"""Train the networks of docs/accuracy.md: one recipe by name, from one or several seeds.

recipes.py fashion-mlp                 a network of Affine layers on Fashion-MNIST
recipes.py fashion-conv-small          a convolutional one with fewer than 100,000 parameters
recipes.py fashion-conv                one with fewer than 500,000
recipes.py digits-conv                 one for the 4,000 digits that ship with xpnet
"""

from __future__ import annotations

import argparse
import math
import resource
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from augmentation import FlipAndShift

import xpnet
from xpnet import (
    Affine,
    BatchNormalization,
    Convolution,
    MaxPooling,
    MultiLayerNet,
    Network,
    Relu,
    SoftmaxWithLoss,
)
from xpnet.initializers import Initializer
from xpnet.layers import Layer
from xpnet.optimizers import AdamW, CosineDecay, Nesterov, Optimizer, Warmup


class Recipe(NamedTuple):
    """What is trained on what, and how."""

    dataset: str
    network: Callable[..., Network]
    optimizer: Callable[[int], Optimizer]
    epochs: int
    batch_size: int


def mlp(**where: Any) -> Network:
    """Make 784-512-256-10 with batch normalisation and dropout."""
    network = MultiLayerNet(784, [512, 256], 10, use_batchnorm=True, use_dropout=True,
                            dropout_ration=0.2, **where)
    network.last_layer = SoftmaxWithLoss(label_smoothing=0.1)
    return network


def conv_net(widths: tuple[int, ...], **where: Any) -> Network:
    """Make stages of two 3×3 convolutions, each normalised, and a pooling."""
    draw = Initializer("he", **where)
    network: list[Layer] = [FlipAndShift(1)]
    channels = 1
    for width in widths:
        for _ in range(2):
            network += [
                Convolution(*draw.convolution(width, channels, 3, 3), pad=1),
                BatchNormalization(*draw.normalization(width)),
                Relu(),
            ]
            channels = width
        network.append(MaxPooling(2, 2, stride=2))
    network.append(Affine(*draw.affine(channels * 3 * 3, 10)))
    return Network(network)


def small(**where: Any) -> Network:
    """Make 16-32-64 channels, two convolutions each."""
    return conv_net((16, 32, 64), **where)


def large(**where: Any) -> Network:
    """Make 24-48-96 channels, two convolutions each."""
    return conv_net((24, 48, 96), **where)


def digits(**where: Any) -> Network:
    """Make 16-32-64 channels, one convolution each, the first of which halves the image."""
    draw = Initializer("he", **where)
    network: list[Layer] = [FlipAndShift(2, flip=False)]
    for channels, width, size, stride in ((1, 16, 5, 2), (16, 32, 3, 1), (32, 64, 3, 1)):
        network += [
            Convolution(*draw.convolution(width, channels, size, size), stride, pad=size // 2),
            BatchNormalization(*draw.normalization(width)),
            Relu(),
        ]
        if stride == 1:
            network.append(MaxPooling(2, 2, stride=2))
    network.append(Affine(*draw.affine(64 * 3 * 3, 10)))
    return Network(network, SoftmaxWithLoss(label_smoothing=0.1))


def nesterov(lr: float, weight_decay: float) -> Callable[[int], Optimizer]:
    """Make Nesterov with a warm-up and a cosine, for so many steps."""
    def for_steps(steps: int) -> Optimizer:
        warm = max(1, steps // 10)
        return Nesterov(Warmup(CosineDecay(lr, steps - warm), warm), weight_decay=weight_decay)

    return for_steps


RECIPES = {
    "fashion-mlp": Recipe("fashion-mnist", mlp,
                          lambda steps: AdamW(CosineDecay(2e-3, steps), weight_decay=0.05), 15, 128),
    "fashion-conv-small": Recipe("fashion-mnist", small, nesterov(0.1, 5e-4), 15, 128),
    "fashion-conv": Recipe("fashion-mnist", large, nesterov(0.1, 5e-4), 14, 128),
    "digits-conv": Recipe("mnist-5k", digits, nesterov(0.05, 1e-3), 15, 50),
}


def train(name: str, seed: int, backend: xpnet.Backend, folder: Path, progress: bool) -> float:
    """Train a recipe from one seed, say how well it went, and give the test accuracy."""
    recipe = RECIPES[name]
    train, test = xpnet.load_mnist(flatten=False, dataset=recipe.dataset, backend=backend)
    network = recipe.network(seed=seed, backend=backend, dtype="float32")
    steps = recipe.epochs * (train[0].shape[0] // recipe.batch_size)
    checkpoints = xpnet.Checkpoints(folder / f"{name}-{seed}", seconds=60, keep=2)
    history = xpnet.fit(
        network, *train, optimizer=recipe.optimizer(steps), epochs=recipe.epochs,
        batch_size=recipe.batch_size, seed=seed, checkpoints=checkpoints,
        resume=checkpoints.newest() is not None, progress=progress,
    )
    accuracy = float(xpnet.evaluate(network, *test, batch_size=500)["accuracy"])
    xpnet.save_weights(folder / f"{name}-{seed}.safetensors", network, {"accuracy": accuracy})
    history.write_csv(folder / f"{name}-{seed}.csv")
    parameters = sum(math.prod(p.shape) for p in network.params.values())
    minutes = history.epochs[-1].seconds / 60
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{name}, {parameters:,} parameters, seed {seed}: test accuracy {accuracy:.4f} after "
          f"{len(history.epochs)} epochs, {minutes:.1f} minutes, {peak:.1f} GiB", flush=True)
    return accuracy


def main() -> None:
    """Train a recipe from each seed."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", choices=RECIPES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="default: 0")
    parser.add_argument("--backend", default="numpy", help="as torch, jax or cuda (default: numpy)")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="default: runs")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    backend = xpnet.get_backend(chosen.backend)
    found = [train(chosen.recipe, seed, backend, chosen.out, not chosen.quiet)
             for seed in chosen.seeds]
    print(f"{chosen.recipe}: median {statistics.median(found):.4f}, "
          f"{min(found):.4f} to {max(found):.4f}")


if __name__ == "__main__":
    main()
