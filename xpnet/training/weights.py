"""Parameters in files: safetensors, with a description in JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from xpnet._extras import import_extra
from xpnet.backend import backend_of
from xpnet.networks import Network
from xpnet.training.atomic import atomic_path

__all__ = ["load_weights", "save_weights"]


def save_weights(
    path: str | os.PathLike[str], network: Network, description: Mapping[str, object] | None = None
) -> None:
    """Write the parameters of a network to a safetensors file (extra `train`).

    Written beside it first, then renamed: what was at `path` is replaced whole or not at all.

    Parameters
    ----------
    path : path
        The file.
    network : Network
        Whose parameters to write, under their names.
    description : mapping, optional
        What else to say, as JSON, in the file's metadata under "xpnet"; the network's class is
        added.
    """
    numpy_format = import_extra("safetensors.numpy", "saving weights")
    tensors = {
        # The format would silently store wrong values for a transposed view.
        name: np.ascontiguousarray(backend_of(p).to_numpy(p)) for name, p in network.params.items()
    }
    for name, tensor in tensors.items():
        if tensor.dtype.kind not in "fiub":
            raise ValueError(f'parameter "{name}" is of dtype {tensor.dtype}, which safetensors for '
                             "NumPy does not have: cast to float32 first")
    about = {"network": type(network).__name__, **(description or {})}
    with atomic_path(path) as temporary:
        temporary.write_bytes(numpy_format.save(tensors, {"xpnet": json.dumps(about)}))


def load_weights(path: str | os.PathLike[str], network: Network) -> None:
    """Make a network hold the parameters of a safetensors file (extra `train`).

    Raises
    ------
    ValueError
        If the file is broken, or its parameters are not those of this network: names, shapes and
        dtypes have to be equal. The network is then as it was.
    """
    numpy_format = import_extra("safetensors.numpy", "loading weights")
    safetensors = import_extra("safetensors", "loading weights")
    held = network.params
    try:
        tensors = numpy_format.load(Path(path).read_bytes())
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path}: not a whole safetensors file ({error})") from None
    except KeyError as error:  # safetensors' own, for what NumPy does not have
        dtypes = " and ".join({str(p.dtype) for p in held.values()})
        raise ValueError(f"{path}: dtype {dtypes} wanted; got {error}") from None
    if set(tensors) != set(held):
        raise ValueError(f"{path}: parameters {', '.join(held)} wanted; "
                         f"got {', '.join(sorted(tensors))}")
    for name, p in held.items():
        found = tensors[name]
        if tuple(p.shape) != found.shape or str(p.dtype).rpartition(".")[2] != found.dtype.name:
            raise ValueError(
                f'{path}: "{name}" of shape {tuple(p.shape)} and dtype {p.dtype} wanted; '
                f"got {found.shape} and {found.dtype}"
            )
    held.update({name: backend_of(p).asarray(tensors[name]) for name, p in held.items()})
