#!/usr/bin/env python3
"""Hold backpropagation against differences: of the book's network on three images, or of your own layer.

  gradient_check.py                                      the network 784-50-10
  gradient_check.py --layer mypackage.mymodule:MyLayer --input 3,784

What --layer names is a layer, or makes one without arguments: a class or a function. A function may
also give a tuple of a layer and its inputs; then --input is not needed.
Exit status: 0 if all gradients are correct, 1 if they are not, 2 if that cannot be told.
"""

from __future__ import annotations

import argparse
import inspect
import traceback
from typing import Any

import numpy as np
from _command import Parser, add_backend_options, add_seed_option, find_backend, named, run

from xpnet import Backend, TwoLayerNet, load_mnist
from xpnet.testing import check_gradients

IMAGES = 3


def shape(text: str) -> tuple[int, ...]:
    """Convert an option that is the shape of an array, as 3,784."""
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"a shape as 3,784 is wanted; got {text}")
    return tuple(int(part) for part in parts)


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layer", metavar="MODULE:NAME",
                        help="your own layer, instead of the network; found from where you are, too")
    parser.add_argument("--input", type=shape, metavar="N,D,…",
                        help="the shape of its input, drawn from a normal distribution")
    parser.add_argument("--mode", choices=("random", "full", "structured"), default="random",
                        help="along random directions, every element, or every element through the "
                             "layers' tangents (default: %(default)s)")
    add_backend_options(parser, dtype="float64")
    add_seed_option(parser)
    found = parser.parse_args()
    if found.input is not None and found.layer is None:
        parser.error("--input goes with --layer")
    return found


def book_network(backend: Backend, dtype: str, seed: int) -> tuple[Any, ...]:
    """Give the book's network and three images with their labels."""
    (x, t), _ = load_mnist(backend=backend)
    network = TwoLayerNet(784, 50, 10, seed=seed, backend=backend, dtype=dtype)
    return network, x[:IMAGES, ...], t[:IMAGES, ...]


def own_layer(name: str, backend: Backend, chosen: argparse.Namespace) -> tuple[Any, ...]:
    """Find the user's layer, and give it with its inputs."""
    made = named("--layer", name)
    if isinstance(made, type) or not hasattr(made, "forward"):
        try:
            inspect.signature(made).bind()
        except TypeError as error:
            raise ValueError(f"--layer {name}: {error}; name a function that makes the layer") from None
        made = made()
    if isinstance(made, tuple):
        return made
    if not hasattr(made, "forward"):
        raise ValueError(f"--layer {name} makes {made!r}, which is no layer: it has no forward")
    if chosen.input is None:
        raise ValueError(f"--layer {name} makes a layer without inputs: give their shape, as --input 3,784")
    x = np.random.default_rng(chosen.seed).standard_normal(chosen.input)
    return made, backend.asarray(x, dtype=chosen.dtype)


def main() -> int:
    """Check the gradients, and give the verdict."""
    chosen = options()
    backend = find_backend(chosen)
    if chosen.layer is None:
        subject, *inputs = book_network(backend, chosen.dtype, chosen.seed)
    else:
        subject, *inputs = own_layer(chosen.layer, backend, chosen)
    try:
        report = check_gradients(subject, *inputs, mode=chosen.mode, seed=chosen.seed)
    except Exception as error:  # noqa: BLE001  a layer may raise anything
        if isinstance(error, TypeError | ValueError) and not hasattr(error, "__notes__"):
            raise ValueError(str(error)) from None
        traceback.print_exc()  # of the layer's own code, whose author wants to see where
        return 2
    print(report)
    return 0 if report else 1


if __name__ == "__main__":
    run(main)
