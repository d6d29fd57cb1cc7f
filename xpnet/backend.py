"""Backends: an array library on a device, found by name. Only this file knows `xpnet_backends`."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from importlib.metadata import entry_points
from typing import Any, NamedTuple, cast

from xpnet._backend import Backend, BackendError, DeviceMemoryError, Function
from xpnet.functional._array import Array, array_namespace, device

__all__ = ["Backend", "BackendError", "DeviceMemoryError", "Function", "available_backends", "backend_of",
           "get_backend"]


class _BuiltIn(NamedTuple):
    library: str
    install: str


_BUILT_IN = {
    "numpy": _BuiltIn("numpy", "numpy"),
    "cupy": _BuiltIn("cupy", '"xpnet[cuda13]" (or cuda12, as your driver has it)'),
    "torch": _BuiltIn("torch", '"xpnet[torch]"'),
    "jax": _BuiltIn("jax", '"xpnet[jax]"'),
    "strict": _BuiltIn("array_api_strict", "array-api-strict"),
}
_HARDWARE = {"cpu": "numpy", "cuda": "cupy"}


def get_backend(name: str | Backend = "cpu") -> Backend:
    """Find a backend by name.

    Parameters
    ----------
    name : str
        Hardware: `"cpu"` (NumPy), `"cuda"`, `"cuda:1"` (CuPy). Or a library, with a device of its
        own if need be: `"numpy"`, `"cupy:1"`, `"torch"`, `"torch:cuda"`, `"jax"`, `"jax:cpu"`,
        `"strict"`, `"strict:device1"`, or what a package brings under the entry-point group
        `xpnet.backends`. A `Backend` is returned as it is.

    Raises
    ------
    BackendError
        If there is no such backend, its library is not installed, or it has no such device.
    """
    if isinstance(name, Backend):
        return name
    if not isinstance(name, str):
        raise BackendError(f'a backend is named by a string, as "cpu" or "torch:cuda"; got {name!r}')
    library, _, device_name = name.partition(":")
    return _backend_class(_HARDWARE.get(library, library))(device_name or None)


def available_backends() -> list[str]:
    """Give the names of the libraries that can be used here, for `get_backend`.

    No library is imported to find out, but CuPy, which has to be asked for a GPU. What other packages
    bring is listed unasked.
    """
    found = [
        name for name, built_in in _BUILT_IN.items()
        if importlib.util.find_spec(built_in.library) is not None
        and (name != "cupy" or _backend_class(name).is_available())
    ]
    return found + [name for name in _entry_points() if name not in found]


def backend_of(x: Array) -> Backend:
    """Find the backend of an array: its library and device.

    Raises
    ------
    BackendError
        If no backend knows the array's library.
    """
    xp = array_namespace(x)
    loaded = [n for n, built_in in _BUILT_IN.items() if built_in.library in sys.modules]
    for name in [*loaded, *_entry_points()]:
        backend = _backend_class(name)
        if backend.namespace.__name__ == xp.__name__:
            return backend(device(x))
    raise BackendError(f"no backend for arrays of {xp.__name__}; there are "
                       f"{', '.join(available_backends())}")


@functools.lru_cache(maxsize=64)
def _backend_class(name: str) -> type[Backend]:
    if name in _BUILT_IN:
        library, install = _BUILT_IN[name]
        if importlib.util.find_spec(library) is None:
            raise BackendError(f"the backend {name} needs {library}, which is not installed: "
                               f"pip install {install}")
        module = importlib.import_module(f"xpnet_backends.{name}_backend")
        return cast(type[Backend], module.BACKEND)
    point = _entry_points().get(name)
    if point is None:
        raise BackendError(f"no backend {name!r}; available here: {', '.join(available_backends())}; "
                           "or by hardware: cpu, cuda, cuda:1, …")
    return cast(type[Backend], point.load())


@functools.cache
def _entry_points() -> dict[str, Any]:
    return {point.name: point for point in entry_points(group="xpnet.backends")}
