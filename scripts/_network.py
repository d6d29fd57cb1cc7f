"""What evaluate.py and predict.py share: a network from a file, and the names of its classes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from _command import add_backend_options, check_installed, find_backend, named

from xpnet import Backend, Network, SoftmaxWithLoss, backend_of, load_network, load_weights
from xpnet.datasets import DatasetError, class_names

__all__ = ["add_network_options", "find_network", "names_of_classes", "weights_file"]


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a network's file, and where to compute."""
    parser.add_argument("weights", type=Path, metavar="WEIGHTS",
                        help="a .safetensors file, or a run's folder")
    parser.add_argument("--network", metavar="MODULE:NAME",
                        help="a function that makes the network, if it is not of a class of xpnet; "
                             "found from where you are, too")
    add_backend_options(parser)


def weights_file(chosen: argparse.Namespace) -> Path:
    """Give the file: in a run's folder, the weights there."""
    path: Path = chosen.weights
    return path / "weights.safetensors" if path.is_dir() else path


def find_network(chosen: argparse.Namespace) -> tuple[Network, Backend, str | None]:
    """Give the network, its backend, and the data set it was trained on, as far as is known."""
    check_installed("safetensors")
    path = weights_file(chosen)
    if chosen.network is None:
        backend = find_backend(chosen)
        if chosen.dtype is None:
            backend.enable_float64()  # the file may hold it
        network = load_network(path, backend=backend, dtype=chosen.dtype)
    else:
        if chosen.backend or chosen.device or chosen.dtype:
            raise ValueError("--network makes the network where it likes: --backend, --device and "
                             "--dtype do not go with it")
        network = own_network(chosen.network)
        load_weights(path, network)
        backend = backend_of(next(iter(network.params.values())))
    if network.stack_axes:
        raise ValueError(f"{path}: one network wanted; this is a stack of them")
    if not isinstance(network.last_layer, SoftmaxWithLoss):
        raise ValueError(  # noqa: TRY004  the file is wrong, no argument
            f"{path}: a network with SoftmaxWithLoss, for classes, wanted; this one has "
            f"{type(network.last_layer).__name__}"
        )
    return network, backend, trained_on(path)


def own_network(name: str) -> Network:
    """Make the user's network."""
    made = named("--network", name)
    try:
        made = made() if callable(made) else made
    except (AttributeError, TypeError) as error:
        raise ValueError(f"--network {name}: {error}") from None
    if not isinstance(made, Network):
        raise ValueError(  # noqa: TRY004  as for a name that is not there
            f"--network {name} makes {made!r:.60}, which is no xpnet.Network"
        )
    return made


def trained_on(path: Path) -> str | None:
    """Read the data set's name from a file, which has been loaded; None if xpnet knows none."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        about = json.loads((file.metadata() or {}).get("xpnet", "{}"))
    name = str(about.get("dataset"))
    try:
        class_names(name)
    except DatasetError:
        return None
    return name


def names_of_classes(dataset: str | None, number: int) -> tuple[str, ...]:
    """Give what each class number of a network means: the number itself if there is no data set."""
    if dataset is None:
        return tuple(str(k) for k in range(number))
    names = class_names(dataset)
    if len(names) != number:
        raise ValueError(f"{dataset} has {len(names)} classes, the network {number}")
    return names
