"""Backends: an array library on a device, found by name. Only this file knows `xpnet_backends`."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar, cast

from xpnet.functional._array import Array, array_namespace, device

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Backend", "BackendError", "available_backends", "backend_of", "get_backend"]

Function = TypeVar("Function", bound=Callable[..., Any])


class BackendError(ValueError):
    """A backend or device that is not to be had here."""


class Backend(ABC):
    """An array library on one of its devices.

    Everything that is not in the array API standard and still differs between libraries: finding
    a device, copies from and to the host, compilation.

    Parameters
    ----------
    device : str or device, optional
        As the library names it, or its device object; by default the library's default device.

    Attributes
    ----------
    name : str
        The library's name, as `get_backend` takes it.
    namespace : module
        Its array API namespace.
    device : device
        The device, as the namespace's functions take it.
    kernels : mapping
        Fast stand-ins for functions of `xpnet.functional`, by their names, with the same arguments
        and results; only for arrays without stack axes. `network.with_kernels(backend.kernels)`
        computes with them. Empty by default.
    """

    kernels: Mapping[str, Callable[..., Any]] = MappingProxyType({})
    name: ClassVar[str]
    namespace: Any
    device: Any

    @abstractmethod
    def __init__(self, device: Any = None) -> None: ...

    @classmethod
    def is_available(cls) -> bool:
        """Tell whether the library's devices can be used here."""
        return True

    def dtype(self, dtype: object) -> Any:
        """Give the library's dtype of this name, or of the name of another library's dtype."""
        name = dtype if isinstance(dtype, str) else (
            getattr(dtype, "name", None) or getattr(dtype, "__name__", None) or str(dtype)
        )
        found = getattr(self.namespace, str(name).rpartition(".")[2], None)
        try:
            if found is not None and self.namespace.isdtype(found, ("bool", "numeric")):
                return found
        except (AttributeError, TypeError, ValueError):  # what has that name is no dtype
            pass
        raise ValueError(f"{self.name} has no dtype {name!r}")

    @property
    def default_dtype(self) -> Any:
        """The library's default real dtype on this device."""
        info = self.namespace.__array_namespace_info__()
        return info.default_dtypes(device=self.device)["real floating"]

    def enable_float64(self) -> None:
        """Make sure of float64, switching on what the library wants for it.

        A decision for programs, not for libraries: the switch may hold for the whole process.
        """
        self.dtype("float64")

    def asarray(self, x: Any, dtype: object = None) -> Array:
        """Move a host array (NumPy's, or nested lists) to this device.

        Parameters
        ----------
        x : array_like
            What to move. Memory may be shared where the library can.
        dtype : str or dtype, optional
            Cast to it; by default the dtype stays, as far as the library has it: JAX makes 32 bits
            of 64 unless 64-bit types are enabled, and refuses them only where they are asked for.
        """
        wanted = None if dtype is None else self.dtype(dtype)
        return self.namespace.asarray(x, dtype=wanted, device=self.device)

    def parts(self, x: np.ndarray[Any, Any], first: int = 0) -> Iterator[Array]:
        """Give `x[first]`, `x[first + 1]`, … of a host array, each for a compiled function.

        By default they are views of what is moved to this device at once.
        """
        moved = self.asarray(x)
        return (moved[k, ...] for k in range(first, len(x)))

    @abstractmethod
    def to_numpy(self, x: Array) -> np.ndarray[Any, Any]:
        """Copy an array to the host. Memory may be shared where the library can."""

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until the device has done all that it was asked."""

    def compile(self, function: Function, *, donate: bool = False, record: bool = False
                ) -> Function:
        """Make a pure function of arrays, in nested dicts and tuples, as fast as the library can.

        By default there is nothing to be done, and the function itself is returned.

        Parameters
        ----------
        function : callable
            The function.
        donate : bool
            Whether the first argument is given away, as what a step of training carries to the next:
            its memory may hold what this call, or the next but one, returns in its place. Who wants
            to keep some of either copies it before.
        record : bool
            Whether a library that computes at once may record what the first calls compute, and play
            it from then on: the function's Python code is then no longer run.
        """
        return function

    def threads_for(self, operations: float) -> AbstractContextManager[object]:
        """Let the library compute with as many threads as suit steps of so much work, within `with`.

        By default it computes with those it has.

        Parameters
        ----------
        operations : float
            Additions and multiplications of a step, roughly.
        """
        return nullcontext()

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.device == getattr(other, "device", None)

    def __hash__(self) -> int:
        return hash((type(self), str(self.device)))

    def __repr__(self) -> str:
        return f"<xpnet backend {self.name} on {self.device}>"


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
