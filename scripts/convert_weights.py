#!/usr/bin/env python3
"""Convert pickled weights, as the book publishes them, to a safetensors file.

  convert_weights.py params.pkl params.safetensors
  convert_weights.py sample_weight.pkl sample.safetensors --activation sigmoid

The pickle is a dictionary of NumPy arrays: W1, b1, W2, b2, … Nothing in it is run. The network is
told by their shapes; what lies between Affine layers cannot be seen there, so --activation names it.
evaluate.py, predict.py and xpnet.load_network take the file.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _array_pickle import read_arrays
from _command import Parser, check_installed, run, whole_numbers
from numpy.typing import NDArray

import xpnet
from xpnet import Network, save_weights

AFFINE, CONVOLUTION = 2, 4
"""Dimensions of the weights."""
NETWORKS = ("TwoLayerNet", "MultiLayerNet", "SimpleConvNet", "DeepConvNet")
ACTIVATIONS = ("relu", "sigmoid", "tanh", "leaky_relu", "gelu", "silu")
# The book's paddings of its convolutions, all of stride 1. They leave no trace in the weights.
PADS = {"SimpleConvNet": [0], "DeepConvNet": [1, 1, 1, 2, 1, 1]}


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pickle", type=Path, metavar="IN.pkl", help="pickled dictionary of arrays")
    parser.add_argument("out", type=Path, metavar="OUT.safetensors", help="the file to write")
    parser.add_argument("--network", choices=NETWORKS, metavar="NAME",
                        help=f"{', '.join(NETWORKS)} (default: told by the shapes)")
    parser.add_argument("--activation", choices=ACTIVATIONS, metavar="NAME",
                        help=f"between Affine layers: {', '.join(ACTIVATIONS)}")
    parser.add_argument("--input-dim", type=whole_numbers(1), metavar="C,H,W",
                        help="channels, height and width of a convolutional network's images "
                             "(default: as many channels as W1 wants, 28 by 28)")
    return parser.parse_args(arguments)


def layer_weights(arrays: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """Give W1, W2, …, having seen that there are these and b1, b2, …, and nothing else."""
    numbers = range(1, len(arrays) // 2 + 1)
    wanted = {f"{letter}{k}" for letter in "Wb" for k in numbers}
    if not arrays or set(arrays) != wanted:
        there = ", ".join(f"{name!a:.20}" for name in sorted(arrays)[:20]) or "nothing"
        raise ValueError(f"W1, W2, … and as many of b1, b2, … wanted; got {there}")
    return [arrays[f"W{k}"] for k in numbers]


def network_name(weights: list[NDArray[Any]], chosen: argparse.Namespace) -> str:
    """Tell the network by its weights, and by what the user says."""
    ndims = [W.ndim for W in weights]
    fitting = {
        "TwoLayerNet": ndims == [AFFINE] * 2 and chosen.activation in (None, "relu"),
        "MultiLayerNet": ndims == [AFFINE] * len(ndims),
        "SimpleConvNet": ndims == [CONVOLUTION, AFFINE, AFFINE] and not chosen.activation,
        "DeepConvNet": ndims == [CONVOLUTION] * 6 + [AFFINE] * 2 and not chosen.activation,
    }
    name = chosen.network or next((name for name in NETWORKS if fitting[name]), None)
    if name is None or not fitting[name]:
        shapes = ", ".join(str(W.shape) for W in weights)
        activation = f" with {chosen.activation} between" if chosen.activation else ""
        wanted = name or "network of xpnet"
        raise ValueError(f"no {wanted} has weights of shapes {shapes}{activation}")
    unseen = fitting["MultiLayerNet"] and len(weights) > 1 and chosen.network != "TwoLayerNet"
    if unseen and chosen.activation is None:
        raise ValueError("what lies between Affine layers cannot be seen in the weights: name it, as "
                         "--activation relu (the book's chapters 5 and 6) or sigmoid (3 and 4)")
    return name


def arguments_of(
    name: str, weights: list[NDArray[Any]], chosen: argparse.Namespace
) -> dict[str, Any]:
    """Give what makes a network with such weights."""
    sizes = [W.shape[1] for W in weights]
    if name not in PADS and chosen.input_dim:
        raise ValueError(f"--input-dim goes with convolutional networks; this is a {name}")
    if name == "TwoLayerNet":
        return {"input_size": len(weights[0]), "hidden_size": sizes[0], "output_size": sizes[1]}
    if name == "MultiLayerNet":
        return {"input_size": len(weights[0]), "hidden_size_list": sizes[:-1],
                "output_size": sizes[-1], "activation": chosen.activation or "relu"}
    found: dict[str, Any] = {
        "input_dim": chosen.input_dim or [sizes[0], 28, 28],
        "hidden_size": sizes[-2], "output_size": sizes[-1],
    }
    for k, (pad, W) in enumerate(zip(PADS[name], weights, strict=False), start=1):
        key = "conv_param" if name == "SimpleConvNet" else f"conv_param_{k}"
        found[key] = {"filter_num": len(W), "filter_size": W.shape[2], "pad": pad, "stride": 1}
    return found


def convert(arrays: dict[str, NDArray[Any]], chosen: argparse.Namespace) -> Network:
    """Make the network that holds these arrays."""
    weights = layer_weights(arrays)
    dtypes = {a.dtype.name for a in arrays.values()}
    if len(dtypes) > 1:
        raise ValueError(f"arrays of one dtype wanted; got {' and '.join(sorted(dtypes))}")
    name = network_name(weights, chosen)
    made_by = arguments_of(name, weights, chosen)
    network: Network = getattr(xpnet, name)(**made_by, seed=0, dtype=dtypes.pop())
    for key, p in network.params.items():
        if p.shape != arrays[key].shape:
            hint = "; --input-dim names the images" if "input_dim" in made_by else ""
            of = f" of images {tuple(made_by['input_dim'])}" if hint else ""
            raise ValueError(f'{name}{of}: "{key}" of shape {p.shape} wanted; '
                             f"got {arrays[key].shape}{hint}")
    network.params.update(arrays)
    return network


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert, and say what the network is."""
    chosen = options(arguments)
    check_installed("safetensors")
    if chosen.out.exists():
        raise ValueError(f"{chosen.out} exists already: name another file")
    arrays = read_arrays(chosen.pickle)
    try:
        network = convert(arrays, chosen)
    except ValueError as error:
        raise ValueError(f"{chosen.pickle}: {error}") from None
    save_weights(chosen.out, network)
    count, dtype = sum(p.size for p in network.params.values()), network.params["W1"].dtype
    print(f"{type(network).__name__}, {count} parameters of {dtype}, {chosen.out}")
    return 0


if __name__ == "__main__":
    run(main)
