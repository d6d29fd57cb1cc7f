"""NumPy, on the CPU."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import array_api_compat.numpy as xp
import numpy as np

from xpnet.backend import Backend, BackendError
from xpnet_backends.numpy_playing import PlayedFunction, PlayedStep
from xpnet_backends.numpy_sums import NumpySums
from xpnet_backends.numpy_threads import suiting


class NumpyBackend(Backend):
    """NumPy."""

    name = "numpy"
    namespace = xp

    def __init__(self, device: Any = None) -> None:
        if device not in (None, "cpu"):
            raise BackendError(f"NumPy computes on the CPU only; got device {device!r}")
        self.device = "cpu"

    def compile(self, function: Any, *, donate: bool = False, record: bool = False) -> Any:
        """Give a function that is recorded, and then played instead of called."""
        if not record:
            return function
        return PlayedStep(function) if donate else PlayedFunction(function)

    @functools.cached_property
    def kernels(self) -> Mapping[str, Callable[..., Any]]:  # type: ignore[override]
        """The kernels; they may bring Numba, which takes a moment."""
        return importlib.import_module("xpnet_backends.numpy_kernels").KERNELS

    def threads_for(self, operations: float, processes: int = 1) -> AbstractContextManager[object]:
        """Let BLAS compute small steps with one thread; see `numpy_threads.suiting`."""
        return suiting(operations, processes)

    def sums(self, messages: Any) -> Any:
        """Add up where the vectors lie."""
        return NumpySums(messages)

    def to_numpy(self, x: Any) -> np.ndarray[Any, Any]:
        """Give the array itself."""
        return np.asarray(x)

    def synchronize(self) -> None:
        """Return at once: functions return when they are done."""


BACKEND = NumpyBackend
