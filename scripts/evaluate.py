#!/usr/bin/env python3
"""Say how well a trained network does on test images, and draw where it is wrong.

  evaluate.py runs/mnist-5k-20261123-120000
  evaluate.py deep.safetensors --dataset mnist --device cuda

The pictures are confusion.png and mistakes.png: the mistakes of which the network is surest.
"""

from __future__ import annotations

import argparse
import tempfile
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from _command import Parser, check_installed, folder, run, whole_number
from _network import add_network_options, find_network, names_of_classes, weights_file

from xpnet import evaluate, load_mnist
from xpnet.functional import softmax
from xpnet.metrics import accuracy, confusion_matrix
from xpnet.training import draw_confusion, draw_mistakes


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate, print and draw."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_network_options(parser)
    parser.add_argument("--dataset", metavar="NAME",
                        help="mnist-5k (ships with xpnet), mnist or fashion-mnist (default: what "
                             "the network was trained on, or else mnist-5k)")
    parser.add_argument("--data-dir", metavar="DIR", help="take the data set's files from here")
    parser.add_argument("--batch-size", type=whole_number(1), default=100, metavar="N",
                        help="images at a time (default: %(default)s)")
    parser.add_argument("--out", type=folder, metavar="DIR",
                        help="the pictures' folder (default: that of the weights)")
    parser.add_argument("--no-plot", action="store_true", help="draw no pictures")
    chosen = parser.parse_args(arguments)

    if not chosen.no_plot:
        check_installed("matplotlib")
    network, _, trained_on = find_network(chosen)
    dataset = chosen.dataset or trained_on or "mnist-5k"
    _, (x, t) = load_mnist(flatten=False, dataset=dataset, data_dir=chosen.data_dir)
    measures: dict[str, Any] = {"accuracy": accuracy, "confusion": confusion_matrix,
                                "probabilities": lambda y, _: softmax(y)}
    found = evaluate(network, x, t, metrics=measures, batch_size=chosen.batch_size)
    probabilities, counts = np.asarray(found["probabilities"]), np.asarray(found["confusion"])
    classes = names_of_classes(dataset, len(counts))
    out = chosen.out or weights_file(chosen).parent
    if not chosen.no_plot:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass  # better refused before the figures are printed

    print(f"{dataset}: loss {found['loss']:.4f}, accuracy {found['accuracy']:.4f} "
          f"of {len(t)} images")
    print(textwrap.fill("  ".join(of_each_class(counts, classes)), 100, break_on_hyphens=False))
    if not chosen.no_plot:
        draw_confusion(out / "confusion.png", counts, classes)
        draw_mistakes(out / "mistakes.png", x[:, 0], t, probabilities, classes)
        print(f"{out / 'confusion.png'}, {out / 'mistakes.png'}")
    return 0


def of_each_class(counts: np.ndarray[Any, Any], classes: Sequence[str]) -> list[str]:
    """Say of each class which share of its images is recognised."""
    return [f"{name} {row[k] / row.sum():.3f}" if row.any() else f"{name} none"
            for k, (name, row) in enumerate(zip(classes, counts, strict=True))]


if __name__ == "__main__":
    run(main)
