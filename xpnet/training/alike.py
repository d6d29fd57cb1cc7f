"""What has to be the same on all ranks for a run to be one run."""

from __future__ import annotations

import platform
import re
import sys
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from xpnet.backend import Backend, backend_of
from xpnet.distributed import Ranks
from xpnet.distributed.likeness import check_alike
from xpnet.networks import Network
from xpnet.training.data import Data, widened

__all__ = ["check_run", "check_weights_alike"]

SMALL = 2**26
"""Bytes of data that are looked at as a whole."""
ROWS = 1024
"""How many rows of larger ones, at even distances."""


def check_run(
    ranks: Ranks, backend: Backend, network: Network, data: Mapping[str, Data | None],
    settings: Mapping[str, object],
) -> None:
    """Refuse ranks with other versions, settings, networks or data than rank 0 (ValueError).

    Data larger than 64 MiB are compared by 1,024 of their rows.
    """
    if ranks.size == 1:
        return
    from xpnet import __version__

    library = {"strict": "array_api_strict"}.get(backend.name, backend.name)
    versions = {"xpnet": __version__, "Python": platform.python_version(), "numpy": np.__version__,
                library: getattr(sys.modules.get(library), "__version__", None)}
    check_alike(ranks, {
        **{f"version of {name}": version for name, version in versions.items()},
        "backend": backend.name,
        **{name: _without_addresses(repr(value)) for name, value in settings.items()},
        "network": [type(network).__name__, *_numbers_of(network)],
        "layers": [[type(layer).__name__, *_numbers_of(layer)] for layer in network.leaves()],
        "loss": [type(network.last_layer).__name__, *_numbers_of(network.last_layer)],
        "parameters": {name: [*p.shape, str(p.dtype)] for name, p in network.params.items()},
        "weights": _of_arrays({**network.params, **network.state}),
        **{f"{which} data: {name}": _of_data(part, name)
           for which, part in data.items() if part is not None for name in part.arrays},
    })


def check_weights_alike(ranks: Ranks, params: Mapping[str, Any]) -> None:
    """Refuse to go on (RuntimeError) where the ranks' weights are no longer the same."""
    if ranks.size > 1 and len({*ranks.gather(_of_arrays(params))}) > 1:
        raise RuntimeError("the ranks' weights are no longer the same: their processors, libraries or "
                           "layers do not compute alike")


def _of_arrays(arrays: Mapping[str, Any]) -> int:
    found = 0
    for a in arrays.values():
        host = backend_of(a).to_numpy(widened(a))
        found = zlib.crc32(np.ascontiguousarray(host).tobytes(), found)
    return found


def _numbers_of(thing: Any) -> list[str]:
    """Give what it was made with, as far as that is numbers and words."""
    return [f"{name}={value!r}" for name, value in vars(thing).items() if not name.startswith("_")
            and name not in ("step", "counter") and (isinstance(value, int | float | str) or (
                isinstance(value, list | tuple) and all(isinstance(v, int | float | str) for v in value)))]


def _of_data(data: Data, name: str) -> list[Any]:
    a = data.arrays[name]
    rows = np.arange(data.rows)
    if data.rows_on_host(name, rows[:1]).nbytes * data.rows > SMALL:
        rows = np.unique(np.linspace(0, data.rows - 1, ROWS).astype(np.int64))
    content = np.ascontiguousarray(data.rows_on_host(name, rows)).tobytes()
    return [data.rows, *a.shape[1:], str(a.dtype), zlib.crc32(content)]


def _without_addresses(text: str) -> str:
    return re.sub(r" at 0x[0-9a-f]+", "", text)
