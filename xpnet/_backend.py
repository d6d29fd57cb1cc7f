"""What a backend is: an array library on one of its devices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

import numpy as np

from xpnet._sums import HostSums, Messages, Sums
from xpnet.functional._array import Array

__all__ = ["Backend", "BackendError", "DeviceMemoryError", "Function"]

Function = TypeVar("Function", bound=Callable[..., Any])


class BackendError(ValueError):
    """A backend or device that is not to be had here."""


class DeviceMemoryError(MemoryError):
    """A device that has not so much memory free: how much was wanted, and how much there is."""


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
        and results, for arrays without stack axes; for those with, by names with `stacked_` in front.
        `network.with_kernels(backend.kernels)` computes with them. Empty by default.
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

    def enable_tf32(self) -> None:
        """Let products of float32 matrices be of numbers rounded to TF32, which GPUs multiply faster.

        That leaves 10 bits of 23 behind the point, so about three digits, of what is multiplied; sums stay
        float32's. A decision for programs, not for libraries: it holds for the whole process.

        Raises
        ------
        BackendError
            If the device has no TF32.
        """
        raise BackendError(f"{self.name} on {self.device} has no TF32, which is a matter of CUDA GPUs")

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

    def to_numpy_all(self, arrays: Sequence[Array]) -> np.ndarray[Any, Any]:
        """Copy arrays of one shape to the host, one after the other in a new first axis.

        By default each by itself: some libraries compile what puts them together, for each number of them.
        """
        return np.stack([self.to_numpy(a) for a in arrays])

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

    def memory_errors(self) -> AbstractContextManager[object]:
        """Turn what the library raises, within `with`, where the device's memory does not suffice.

        Into a `DeviceMemoryError`, which says what was wanted and what is free. By default errors stay as
        they are.
        """
        return nullcontext()

    def threads_for(self, operations: float, processes: int = 1) -> AbstractContextManager[object]:
        """Let the library compute with as many threads as suit steps of so much work, within `with`.

        By default it computes with those it has.

        Parameters
        ----------
        operations : float
            Additions and multiplications of a step, roughly.
        processes : int
            How many such processes share this machine's processors.
        """
        return nullcontext()

    def sums(self, messages: Messages) -> Sums:
        """Give what adds up vectors over processes, within a function of `compile` as well.

        By default it copies them to the host and back.

        Parameters
        ----------
        messages : Messages
            What carries vectors of the host from one process to another.
        """
        return HostSums(self, messages)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.device == getattr(other, "device", None)

    def __hash__(self) -> int:
        return hash((type(self), str(self.device)))

    def __repr__(self) -> str:
        return f"<xpnet backend {self.name} on {self.device}>"
