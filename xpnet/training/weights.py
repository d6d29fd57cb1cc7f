"""What a network has learnt, in a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from xpnet import losses, networks
from xpnet.backend import Backend, backend_of, get_backend
from xpnet.functional._array import Array
from xpnet.networks import Network
from xpnet.training.nested import place
from xpnet.training.tensors import load_tensors, save_tensors

__all__ = ["load_network", "load_weights", "made_by", "save_weights"]


def save_weights(
    path: str | os.PathLike[str], network: Network, description: Mapping[str, object] | None = None
) -> None:
    """Write the parameters and the state of a network to a safetensors file (extra `train`).

    Written beside it first, then renamed: what was at `path` is replaced whole or not at all.

    Parameters
    ----------
    path : path
        The file.
    network : Network
        Whose parameters and state to write, under their names.
    description : mapping, optional
        What else to say, as JSON, in the file's metadata under "xpnet". Added are the classes and
        arguments of the network and its loss, as "network", "arguments", "loss" and "loss arguments",
        and the checksum, as "sha256".
    """
    save_tensors(path, _held(network), {**(description or {}), **made_by(network)})


def made_by(network: Network) -> dict[str, Any]:
    """Tell, as JSON can, of which classes network and loss are, and with which arguments they were made."""
    loss = network.last_layer
    return {"network": type(network).__name__, "arguments": network.arguments,
            "loss": type(loss).__name__, "loss arguments": {
                name: backend_of(a).to_numpy(a).tolist() if hasattr(a, "shape") else a
                for name, a in loss.arguments.items()}}


def load_weights(path: str | os.PathLike[str], network: Network) -> None:
    """Make a network hold the parameters and the state of a safetensors file (extra `train`).

    The file may be another program's, whose values are taken as they are; of files of xpnet the
    checksum is checked.

    Raises
    ------
    ValueError
        If the file is broken, or its arrays are not those of this network: names, shapes and dtypes
        have to be equal. The network is then as it was.
    """
    tensors, _ = load_tensors(path, foreign=True)
    _hold(network, place(tensors, _held(network), str(path)))


def load_network(
    path: str | os.PathLike[str], *, backend: str | Backend = "numpy", dtype: object = None
) -> Network:
    """Rebuild the network, with its loss, whose weights are in a file of `save_weights` (extra `train`).

    Parameters
    ----------
    path : path
        The file. Its network is of a class of xpnet; with one of your own, make it and
        `load_weights`.
    backend : str or Backend
        Where the network is to live; see `xpnet.get_backend`.
    dtype : str or dtype, optional
        Of its parameters; by default as they are in the file.

    Raises
    ------
    ValueError
        If the file is broken, or does not say how to make its network.
    """
    backend = get_backend(backend)
    tensors, about = load_tensors(path)
    name, arguments = about.get("network"), about.get("arguments")
    loss, of_loss = about.get("loss", "SoftmaxWithLoss"), about.get("loss arguments", {})
    if name not in networks.__all__ or name == "Network" or not isinstance(arguments, dict):
        raise ValueError(f"{path}: xpnet cannot make its network, {name}: make it yourself, and "
                         "load_weights into it")
    if loss not in losses.__all__ or loss == "Loss" or not isinstance(of_loss, dict):
        raise ValueError(f"{path}: xpnet cannot make its loss, {loss}: make the network yourself, and "
                         "load_weights into it")

    def make(seed: int | list[int]) -> Network:
        of_file = next((a.dtype for a in tensors.values()), None)
        try:
            network: Network = getattr(networks, name)(
                **arguments, seed=seed, backend=backend, dtype=of_file if dtype is None else dtype)
            network.last_layer = getattr(losses, loss)(**of_loss)
            return network
        except Exception as error:  # whatever comes of arguments that nobody would give
            raise ValueError(f"{path}: its {name} cannot be made here: {error}") from error

    network = make(0)
    first, ndim = next(iter(network.param_ndims.items()))
    stack = tensors[first].shape[:-ndim] if first in tensors else ()
    if stack:
        network = make([0] * stack[0])
    _hold(network, place(tensors, _held(network), str(path), cast=dtype is not None))
    return network


def _held(network: Network) -> dict[str, Array]:
    return {**network.params, **network.state}


def _hold(network: Network, arrays: Mapping[str, Any]) -> None:
    network.params.update({name: arrays[name] for name in network.params})
    network.state.update({name: arrays[name] for name in network.state})
