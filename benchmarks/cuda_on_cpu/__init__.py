"""A CuPy that computes on the CPU, so that what is written for a GPU can be run before there is one.

`install` puts it in the place of `cupy`, of `array_api_compat.cupy`, and of the functions of
`nvmath.bindings.cublasLt` if that is installed. Arrays lie in the host's memory and are computed with at
once, by array-api-strict on its second device where the array API is asked, by NumPy where CuPy is.
Kernels' texts are compiled by g++. What a stream captures is recorded, not computed, and what CuPy or CUDA
refuses while capturing is refused. NCCL adds up over processes by MPI. Nothing here says how fast anything is.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks.cuda_on_cpu.errors import HostCopyError
from benchmarks.cuda_on_cpu.host import host_copies, refusing_host_copies

__all__ = ["HostCopyError", "host_copies", "install", "refusing_host_copies"]


def install(devices: int | Sequence[int] = 2) -> None:
    """Put the stand-in in the place of CuPy.

    To be called before anything that imports CuPy is imported.

    Parameters
    ----------
    devices : int or sequence of int
        How many GPUs there are; or which of the machine's this process sees. With none,
        `cupy.is_available()` is false.
    """
    import array_api_compat

    from benchmarks.cuda_on_cpu import cublaslt
    from benchmarks.cuda_on_cpu.devices import devices as there
    from benchmarks.cuda_on_cpu.modules import modules
    from benchmarks.cuda_on_cpu.strict import strict

    there.numbers = range(devices) if isinstance(devices, int) else devices
    if getattr(sys.modules.get("cupy"), "__version__", "").endswith("+cpu"):
        return
    strict.set_array_api_strict_flags(boolean_indexing=False, data_dependent_shapes=False)
    for name in list(sys.modules):
        if name.partition(".")[0] in ("cupy", "cupyx", "cupy_backends") or name.startswith(
                "array_api_compat.cupy"):
            del sys.modules[name]
    found = modules()
    sys.modules.update(found)
    sys.modules["cupyx"] = None  # type: ignore[assignment]  # the real one would import what is not there
    array_api_compat.cupy = found["array_api_compat.cupy"]  # type: ignore[attr-defined]
    cublaslt.install()
