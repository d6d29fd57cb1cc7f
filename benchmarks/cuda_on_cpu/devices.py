"""`cupy.cuda.Device`, and what `cupy.cuda.runtime` says of devices."""
# ruff: noqa: D102, methods and functions are CuPy's, which documents them

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any, Self

from benchmarks.cuda_on_cpu.capture import current, late_work, refuse_waiting
from benchmarks.cuda_on_cpu.errors import CUDARuntimeError

__all__ = ["DEVICE_BYTES", "Device", "bytes_taken", "devices", "runtime"]

DEVICE_BYTES = 16 * 2**30
"""The memory of each device, in name."""
bytes_taken: dict[int, int] = {}
"""What memory pools have taken of it, by the devices' numbers."""


class _Devices:
    """The devices that there are."""

    numbers: Sequence[int] = range(2)
    """Those of this machine's that this process sees: other processes may see the same."""

    @property
    def count(self) -> int:
        return len(self.numbers)


devices = _Devices()


class Device:
    """One of the devices. Like CuPy's, it can be compared and not hashed."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, device: Any = None) -> None:
        self.id = current.device if device is None else int(device)
        self._before: list[int] = []

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def __enter__(self) -> Self:
        self._before.append(current.device)
        self.use()
        return self

    def __exit__(self, *_: object) -> None:
        current.device = self._before.pop()

    def use(self) -> None:
        set_device(self.id)

    def synchronize(self) -> None:
        refuse_waiting(device=self.id)
        late_work.catch_up_all()

    @property
    def mem_info(self) -> tuple[int, int]:
        return DEVICE_BYTES - bytes_taken.get(self.id, 0), DEVICE_BYTES

    @property
    def compute_capability(self) -> str:
        return "90"

    @property
    def attributes(self) -> dict[str, int]:
        return {}

    @property
    def pci_bus_id(self) -> str:
        return f"0000:{devices.numbers[self.id]:02x}:00.0"


def set_device(number: int) -> None:
    """Make a device the current one."""
    if not 0 <= number < devices.count:
        raise CUDARuntimeError(101)
    current.device = number


def device_properties(number: int) -> dict[str, Any]:
    """Give what `getDeviceProperties` gives of a device, as far as anybody asks."""
    if not 0 <= number < devices.count:
        raise CUDARuntimeError(101)
    return {"name": b"CPU stand-in", "totalGlobalMem": DEVICE_BYTES, "multiProcessorCount": 1,
            "major": 9, "minor": 0, "clockRate": 10**6, "memoryClockRate": 10**6,
            "memoryBusWidth": 64, "l2CacheSize": 2**20, "sharedMemPerBlock": 48 * 2**10}


def _synchronize() -> None:
    Device().synchronize()


runtime = ModuleType("cupy.cuda.runtime")
vars(runtime).update(
    CUDARuntimeError=CUDARuntimeError,
    getDeviceCount=lambda: devices.count,
    getDevice=lambda: current.device,
    setDevice=set_device,
    memGetInfo=lambda: Device().mem_info,
    getDeviceProperties=device_properties,
    runtimeGetVersion=lambda: 13020,
    driverGetVersion=lambda: 13020,
    deviceCanAccessPeer=lambda device, peer: 0,
    deviceSynchronize=_synchronize,
    streamCaptureModeGlobal=0, streamCaptureModeThreadLocal=1, streamCaptureModeRelaxed=2,
    streamCaptureStatusNone=0, streamCaptureStatusActive=1, streamCaptureStatusInvalidated=2,
    memcpyHostToHost=0, memcpyHostToDevice=1, memcpyDeviceToHost=2, memcpyDeviceToDevice=3,
    memcpyDefault=4, streamDefault=0, streamNonBlocking=1, is_hip=False,
)
