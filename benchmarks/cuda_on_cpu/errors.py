"""The errors of CUDA and CuPy, with their own texts, and one of the stand-in's."""

from __future__ import annotations

__all__ = ["CUDARuntimeError", "CompileException", "HostCopyError", "OutOfMemoryError"]

_ERRORS = {
    101: "cudaErrorInvalidDevice: invalid device ordinal",
    600: "cudaErrorNotReady: device not ready",
    900: "cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing",
    901: "cudaErrorStreamCaptureInvalidated: operation failed due to a previous error during capture",
    902: "cudaErrorStreamCaptureMerge: operation would result in a merge of separate capture sequences",
    903: "cudaErrorStreamCaptureUnmatched: capture was not ended in the same stream as it began",
    904: "cudaErrorStreamCaptureUnjoined: capturing stream has unjoined work",
    905: "cudaErrorStreamCaptureIsolation: dependency created on uncaptured work in another stream",
    907: "cudaErrorCapturedEvent: operation not permitted on an event last recorded in a capturing stream",
}


class CUDARuntimeError(RuntimeError):
    """What a function of CUDA's runtime answered."""

    def __init__(self, status: int) -> None:
        super().__init__(_ERRORS[status])
        self.status = status


class OutOfMemoryError(MemoryError):
    """There is not so much memory, or the pool may not take so much."""

    def __init__(self, size: int, total: int, limit: int = 0) -> None:
        text = f"Out of memory allocating {size:,} bytes"
        if limit:
            text += f" (allocated so far: {total:,} bytes, limit set to: {limit:,} bytes)."
        elif total != -1:
            text += f" (allocated so far: {total:,} bytes)."
        super().__init__(text)


class CompileException(Exception):  # noqa: N818, CuPy's name
    """A kernel's text is not what the compiler takes."""


class HostCopyError(RuntimeError):
    """A copy to the host within `refusing_host_copies()`."""
