"""CuPy, on a CUDA GPU."""

from __future__ import annotations

from typing import Any

import array_api_compat.cupy as xp
import cupy

from xpnet.backend import Backend, BackendError
from xpnet_backends.cupy_kernels import KERNELS


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

    def asarray(self, x: Any, dtype: object = None) -> Any:
        """Copy a host array to the GPU."""
        with self.device:
            return super().asarray(x, dtype)

    def to_numpy(self, x: Any) -> Any:
        """Copy an array to the host."""
        return cupy.asnumpy(x)

    def synchronize(self) -> None:
        """Wait until the GPU has done all that it was asked."""
        self.device.synchronize()


BACKEND = CupyBackend
