"""CuPy, on a CUDA GPU."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import array_api_compat.cupy as xp
import cupy

from xpnet.backend import Backend, BackendError, DeviceMemoryError
from xpnet_backends.cupy_cublaslt import unavailable
from xpnet_backends.cupy_kernels import KERNELS
from xpnet_backends.cupy_playing import PlayedFunction
from xpnet_backends.cupy_sums import CupySums

OUT_OF_MEMORY = 2
"""cudaErrorMemoryAllocation."""


class CupyBackend(Backend):
    """CuPy on one GPU, which becomes the current one.

    CuPy computes on the current device, and some of its functions ignore `device=`.
    """

    name = "cupy"
    namespace = xp
    kernels = KERNELS

    def __init__(self, device: Any = None) -> None:
        if not self.is_available():
            raise BackendError(
                f"CuPy {cupy.__version__} finds no CUDA GPU: there is none, or its driver is "
                "missing or older than this CuPy wants (nvidia-smi shows both)"
            )
        count = cupy.cuda.runtime.getDeviceCount()
        number = str(getattr(device, "id", device or 0)).removeprefix("cuda").removeprefix(":") or "0"
        if not number.isdecimal() or int(number) >= count:
            raise BackendError(f"no CUDA GPU {number!r}; this machine has "
                               f"{', '.join(f'cuda:{i}' for i in range(count))}")
        self.device = cupy.cuda.Device(int(number))
        self.device.use()

    @classmethod
    def is_available(cls) -> bool:
        """Tell whether there is a GPU: without one, CuPy imports and fails at the first array."""
        return bool(cupy.is_available())

    def enable_tf32(self) -> None:
        """Let CuPy, and the products of this backend, round float32 to TF32, for the whole program."""
        if int(self.device.compute_capability) < 80:
            raise BackendError(f"cupy on {self.device} has no TF32, which begins with compute capability 8.0")
        cupy._core.set_compute_type(cupy.float32, cupy._core._routines_linalg.COMPUTE_TYPE_TF32)

    def asarray(self, x: Any, dtype: object = None) -> Any:
        """Copy a host array to the GPU."""
        with self.device, self.memory_errors():
            return super().asarray(x, dtype)

    def to_numpy(self, x: Any) -> Any:
        """Copy an array to the host."""
        return cupy.asnumpy(x)

    def to_numpy_all(self, arrays: Sequence[Any]) -> Any:
        """Copy arrays of one shape to the host, together: to wait for the GPU takes longer than to copy."""
        with self.device:
            parts = list(_adjacent(arrays))
            return cupy.asnumpy(parts[0] if len(parts) == 1 else cupy.concatenate(parts))

    def synchronize(self) -> None:
        """Wait until the GPU has done all that it was asked."""
        self.device.synchronize()

    def compile(self, function: Any, *, donate: bool = False, record: bool = False) -> Any:
        """Give a function that is captured as a CUDA graph, and then launched instead of called."""
        if not record:
            return function
        if reason := unavailable():
            _warn_of(reason)
        return PlayedFunction(function, self.device, carries=donate)

    def sums(self, messages: Any) -> CupySums:
        """Give what adds up vectors over GPUs by NCCL, each the GPU of another process."""
        return CupySums(messages, self.device)

    @contextmanager
    def memory_errors(self) -> Iterator[None]:
        """Say what was wanted, and what is free, where the GPU's memory does not suffice."""
        try:
            yield
        except (cupy.cuda.memory.OutOfMemoryError, cupy.cuda.runtime.CUDARuntimeError) as error:
            if getattr(error, "status", OUT_OF_MEMORY) != OUT_OF_MEMORY:
                raise
            with self.device:
                free, total = cupy.cuda.runtime.memGetInfo()
                pool = cupy.get_default_memory_pool()
                waiting = pool.free_bytes()
            raise DeviceMemoryError(
                f"GPU {self.device.id}: {str(error).rstrip('.')}; of {total:,} bytes, {free:,} are free, and "
                f"{waiting:,} more in pieces in CuPy's pool: smaller batches, or data that stay on the host, "
                "take less (what was captured as a graph keeps memory of its own)") from error


@functools.cache
def _warn_of(reason: str) -> None:
    """Say once why what has products is no graph."""
    warnings.warn(f"CuPy makes no CUDA graphs, and is slower: {reason}", stacklevel=4)


def _adjacent(arrays: Sequence[Any]) -> Iterator[Any]:
    """Give arrays of one shape as few larger ones: those that follow each other in one piece of memory as one.

    Two pieces may follow each other, too, and yet not be copied at one go.
    """
    first = 0
    for k in range(1, len(arrays) + 1):
        if k == len(arrays) or not _follows(arrays[k], arrays[k - 1]):
            a = arrays[first]
            yield a[None, ...] if k == first + 1 else cupy.ndarray((k - first, *a.shape), a.dtype, a.data)
            first = k


def _follows(a: Any, before: Any) -> bool:
    place, other = a.data, before.data
    return bool(place.mem is other.mem and place.ptr == other.ptr + before.nbytes and a.dtype == before.dtype
                and a.flags.c_contiguous and before.flags.c_contiguous)


BACKEND = CupyBackend
