"""array-api-strict: the standard and no more, on pretended devices, to test on."""

from __future__ import annotations

from typing import Any

import array_api_strict as xp

from xpnet.backend import Backend, BackendError


class StrictBackend(Backend):
    """array-api-strict."""

    name = "strict"
    namespace = xp

    def __init__(self, device: Any = None) -> None:
        if device is None or isinstance(device, str):
            try:
                device = xp.Device(device or "CPU_DEVICE")
            except ValueError:
                devices = xp.__array_namespace_info__().devices()
                raise BackendError(f"array-api-strict has no device {device!r}; "
                                   f"there are {', '.join(map(str, devices))}") from None
        self.device = device

    def to_numpy(self, x: Any) -> Any:
        """Copy an array to the host."""
        return x.to_device(xp.Device("CPU_DEVICE")).__array__()

    def synchronize(self) -> None:
        """Return at once: functions return when they are done."""


BACKEND = StrictBackend
