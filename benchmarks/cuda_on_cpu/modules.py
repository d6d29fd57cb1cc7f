"""The modules that stand in for `cupy` and those below it."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.cuda_on_cpu import devices, errors, memory, nccl, streams
from benchmarks.cuda_on_cpu.array import ndarray
from benchmarks.cuda_on_cpu.creation import array
from benchmarks.cuda_on_cpu.functions import function, functions, submodule
from benchmarks.cuda_on_cpu.kernels import ElementwiseKernel
from benchmarks.cuda_on_cpu.operators import add_operators
from benchmarks.cuda_on_cpu.standard import namespace

__all__ = ["modules"]

COMPUTE_TYPES = {
    f"COMPUTE_TYPE_{name}": number
    for number, name in enumerate(("TBD", "DEFAULT", "PEDANTIC", "FP16", "FP32", "FP64", "BF16", "TF32"))
}


def modules() -> dict[str, ModuleType]:
    """Make them all, by name."""
    add_operators()
    cuda = module(
        "cupy.cuda", Device=devices.Device, runtime=devices.runtime, get_device_id=lambda: devices.Device().id,
        is_available=_is_available, Stream=streams.Stream, Event=streams.Event, Graph=streams.Graph,
        get_current_stream=streams.get_current_stream, get_elapsed_time=streams.get_elapsed_time,
        MemoryPool=memory.MemoryPool, MemoryPointer=memory.MemoryPointer, Memory=memory.Memory,
        alloc=memory.alloc, get_allocator=memory.get_allocator, set_allocator=memory.set_allocator,
        using_allocator=memory.using_allocator,
        memory=module("cupy.cuda.memory", OutOfMemoryError=errors.OutOfMemoryError,
                      MemoryPool=memory.MemoryPool, MemoryPointer=memory.MemoryPointer,
                      using_allocator=memory.using_allocator, set_allocator=memory.set_allocator,
                      alloc=memory.alloc),
        stream=module("cupy.cuda.stream", Stream=streams.Stream, Event=streams.Event,
                      get_current_stream=streams.get_current_stream),
        device=module("cupy.cuda.device", Device=devices.Device),
        graph=module("cupy.cuda.graph", Graph=streams.Graph),
        nccl=module("cupy.cuda.nccl", **{name: getattr(nccl, name) for name in nccl.__all__}),
        compiler=module("cupy.cuda.compiler", CompileException=errors.CompileException),
    )
    linalg = module("cupy._core._routines_linalg", **COMPUTE_TYPES, **_compute_types())
    core = module("cupy._core", _routines_linalg=linalg, ndarray=ndarray, array=array,
                  ElementwiseKernel=ElementwiseKernel, get_compute_type=linalg.get_compute_type,
                  set_compute_type=linalg.set_compute_type)
    vars(core)["core"] = core
    tricks = module("cupy.lib.stride_tricks", **{
        name: function(name, getattr(np.lib.stride_tricks, name))
        for name in ("as_strided", "sliding_window_view")
    })
    cupy = module(
        "cupy", **functions(), cuda=cuda, _core=core, lib=module("cupy.lib", stride_tricks=tricks),
        linalg=submodule("cupy.linalg", np.linalg), fft=submodule("cupy.fft", np.fft),
        ElementwiseKernel=ElementwiseKernel, is_available=_is_available, __version__="14.2.0+cpu",
        get_default_memory_pool=lambda: memory.default_pool, memoize=_memoize, clear_memo=lambda: None,
        get_default_pinned_memory_pool=lambda: _PINNED, __path__=[],
    )
    found = {m.__name__: m for m in (cupy, *_below(cupy))}
    found["cupy._core.core"] = core
    found["array_api_compat.cupy"] = namespace(cupy)
    for name in ("linalg", "fft"):
        found[f"array_api_compat.cupy.{name}"] = getattr(found["array_api_compat.cupy"], name)
    for name, each in found.items():
        each.__spec__ = ModuleSpec(name, _Loader())
    return found


class _Loader(Loader):
    """Gives what is there already."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return sys.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing."""


def module(name: str, /, **names: Any) -> ModuleType:
    """Make a module of these names."""
    made = ModuleType(name)
    vars(made).update(names)
    return made


def _below(parent: ModuleType) -> list[ModuleType]:
    found = []
    for each in vars(parent).values():
        if isinstance(each, ModuleType) and each.__name__.startswith(f"{parent.__name__}."):
            found += [each, *_below(each)]
    return found


def _is_available() -> bool:
    return devices.devices.count > 0


def _memoize(for_each_device: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return functools.cache


def _compute_types() -> dict[str, Callable[..., Any]]:
    chosen: dict[Any, int] = {}

    def get_compute_type(dtype: Any) -> int:
        return chosen.get(np.dtype(dtype).char, COMPUTE_TYPES["COMPUTE_TYPE_DEFAULT"])

    def set_compute_type(dtype: Any, compute_type: int) -> None:
        chosen[np.dtype(dtype).char] = compute_type

    return {"get_compute_type": get_compute_type, "set_compute_type": set_compute_type}


class _PinnedMemoryPool:
    """Memory of the host that the GPU reads by itself; there is none."""

    def free_all_blocks(self) -> None:
        """Do nothing."""

    def n_free_blocks(self) -> int:
        return 0


_PINNED = _PinnedMemoryPool()
