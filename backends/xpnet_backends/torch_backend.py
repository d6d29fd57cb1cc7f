"""PyTorch, on any of its devices."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import array_api_compat.torch as xp
import torch

from xpnet.backend import Backend, BackendError, Function
from xpnet_backends.torch_kernels import KERNELS
from xpnet_backends.torch_playing import PlayedFunction
from xpnet_backends.torch_sums import TorchSums
from xpnet_backends.torch_threads import THREADS


class TorchBackend(Backend):
    """PyTorch, without its autograd."""

    name = "torch"
    namespace = xp
    kernels = KERNELS

    def __init__(self, device: Any = None) -> None:
        try:
            self.device = torch.device(device or "cpu")
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise BackendError(f"PyTorch has no device {str(device)!r} here: {reason}") from None

    def enable_tf32(self) -> None:
        """Let PyTorch round float32 to TF32 in products, for the whole program.

        In convolutions it does so on a GPU unless it is told not to.
        """
        if self.device.type == "cuda" and torch.cuda.get_device_capability(self.device) >= (8, 0):
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        else:
            super().enable_tf32()

    def asarray(self, x: Any, dtype: object = None) -> Any:
        """Move a host array to the device; a read-only one is copied."""
        flags = getattr(x, "flags", None)
        if flags is not None and not flags.writeable:
            x = x.copy()
        return super().asarray(x, dtype)

    def threads_for(self, operations: float, processes: int = 1) -> AbstractContextManager[object]:
        """Let a CPU compute small steps with one thread; see `torch_threads`."""
        return (THREADS.suiting(operations, processes) if self.device.type == "cpu"
                else super().threads_for(operations, processes))

    def sums(self, messages: Any) -> Any:
        """Add up where the vectors lie, on a CPU; else by way of the host."""
        return TorchSums(messages) if self.device.type == "cpu" else super().sums(messages)

    def to_numpy(self, x: Any) -> Any:
        """Copy an array to the host; on the CPU, share its memory."""
        if x.dtype == torch.bfloat16:
            raise ValueError("NumPy has no bfloat16; cast to float32 first")
        return x.detach().cpu().numpy()

    def synchronize(self) -> None:
        """Wait until the device has done all that it was asked."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def compile(self, function: Function, *, donate: bool = False, record: bool = False
                ) -> Function:
        """Run the step without autograd's bookkeeping; recorded, and then played, if so."""
        return PlayedFunction(function) if record else torch.no_grad()(function)  # type: ignore[return-value]


BACKEND = TorchBackend
