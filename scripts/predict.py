#!/usr/bin/env python3
"""Say what is on images: for each, classes and their probabilities.

  predict.py runs/mnist-5k-20261123-120000 digit.png
  predict.py deep.safetensors drawn.jpg --invert
  predict.py weights.safetensors images.npy --top 1

MNIST's digits are white on black: --invert is for black on white. Image files are made grey, and as
large as the network wants them. In a .npy file lies one image (H, W), or a batch (N, H, W),
(N, C, H, W) or (N, D): uint8 from 0 to 255, or floating numbers, taken as they are.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _command import Parser, run, whole_number
from _images import input_shape, read_images
from _network import add_network_options, find_network, names_of_classes
from numpy.typing import NDArray

from xpnet import Backend, Network
from xpnet.functional import softmax

BATCH = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """Predict, and print a line for each image."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_network_options(parser)
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE",
                        help="an image file, or a .npy file")
    parser.add_argument("--invert", action="store_true", help="the images are black on white")
    parser.add_argument("--top", type=whole_number(1), default=3, metavar="N",
                        help="how many classes to name (default: %(default)s)")
    parser.add_argument("--dataset", metavar="NAME",
                        help="whose names the classes have (default: what it was trained on)")
    chosen = parser.parse_args(arguments)

    network, backend, trained_on = find_network(chosen)
    shape = input_shape(network)
    inputs = [(path, *read_images(path, shape, chosen.invert)) for path in chosen.images]
    lines = []
    for path, x, several in inputs:
        y = np.concatenate([*probabilities(network, backend, x)])
        if not np.isfinite(y).all():
            raise ValueError(f"{path}: the network's scores are not finite")
        classes = names_of_classes(chosen.dataset or trained_on, y.shape[-1])
        for k, p in enumerate(y):
            best = np.argsort(-p, kind="stable")[:chosen.top]
            said = "  ".join(f"{classes[c]} {p[c]:.4f}" for c in best)
            lines.append(f"{path}[{k}]: {said}" if several else f"{path}: {said}")
    print("\n".join(lines))
    return 0


def probabilities(network: Network, backend: Backend, x: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Give the classes' probabilities, batch by batch."""
    dtype = next(iter(network.params.values())).dtype
    for lo in range(0, len(x), BATCH):
        yield backend.to_numpy(softmax(network.predict(backend.asarray(x[lo:lo + BATCH], dtype))))


if __name__ == "__main__":
    run(main)
