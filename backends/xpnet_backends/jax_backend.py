"""JAX, on any of its devices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as xp

from xpnet.backend import Backend, BackendError, Function
from xpnet_backends.jax_kernels import KERNELS
from xpnet_backends.jax_sums import JaxSums


class JaxBackend(Backend):
    """JAX."""

    name = "jax"
    namespace = xp
    kernels = KERNELS

    def __init__(self, device: Any = None) -> None:
        if device is not None and not isinstance(device, str):
            self.device = device
            return
        platform, _, number = (device or "").partition(":")
        try:
            devices = jax.devices(platform or None)
        except RuntimeError as error:
            reason = str(error).strip().partition("\n")[0]
            raise BackendError(f"JAX has no device {device!r} here: {reason}") from None
        if number and (not number.isdecimal() or int(number) >= len(devices)):
            raise BackendError(f"JAX has no device {device!r} here; "
                               f"there are {', '.join(map(str, devices))}")
        self.device = devices[int(number or 0)]

    def dtype(self, dtype: object) -> Any:
        """Give JAX's dtype of this name; 64 bits only if they are enabled.

        JAX itself would give 32 bits, with no more than a warning.
        """
        found = super().dtype(dtype)
        if xp.dtype(found).itemsize == 8 and not jax.config.jax_enable_x64:
            raise ValueError(
                f"JAX has {xp.dtype(found).name} only with 64-bit types enabled: "
                'jax.config.update("jax_enable_x64", True), or JAX_ENABLE_X64=1 in the environment'
            )
        return found

    def enable_float64(self) -> None:
        """Enable JAX's 64-bit types, for the whole program."""
        jax.config.update("jax_enable_x64", True)

    def enable_tf32(self) -> None:
        """Let JAX round float32 to TF32 in products and convolutions, for the whole program.

        On a GPU that has it, it does so unless it is told not to.
        """
        if self.device.platform == "gpu" and float(getattr(self.device, "compute_capability", 0)) >= 8:
            jax.config.update("jax_default_matmul_precision", "tensorfloat32")
        else:
            super().enable_tf32()

    def parts(self, x: Any, first: int = 0) -> Iterator[Any]:
        """Give parts of a host array as they are: a compiled function moves them sooner than JAX a view.

        Such a view takes 60 µs, a fifth of a small network's step.
        """
        return iter(x[first:].astype(xp.asarray(x[:0]).dtype))

    def to_numpy(self, x: Any) -> Any:
        """Copy an array to the host; on the CPU, share its memory, read-only."""
        return jax.device_get(x)

    def synchronize(self) -> None:
        """Wait until all arrays are computed."""
        jax.block_until_ready(jax.live_arrays())

    def sums(self, messages: Any) -> Any:
        """Add up on the host, which a compiled step calls."""
        return JaxSums(messages)

    def compile(self, function: Function, *, donate: bool = False, record: bool = False
                ) -> Function:
        """Compile the step with `jax.jit`, once for each set of shapes it meets."""
        return jax.jit(function)


BACKEND = JaxBackend
