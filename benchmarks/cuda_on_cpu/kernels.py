"""`cupy.ElementwiseKernel`, whose text is compiled for the CPU and run for one element after the other.

Arguments are checked as in CuPy's `_core/_kernel.pyx`. An index beyond the end of a raw argument, which a
GPU would not notice, is an IndexError.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.cuda_on_cpu.array import empty, ndarray
from benchmarks.cuda_on_cpu.capture import submit
from benchmarks.cuda_on_cpu.compiler import Argument, compiled, source
from benchmarks.cuda_on_cpu.execution import check_device

__all__ = ["ElementwiseKernel"]

PARAMETER_BYTES = 4096
"""What CUDA takes everywhere; since 12.1, and on newer GPUs, it is eight times as much."""


class _Parameter:
    """A parameter of a kernel: `float32 x`, `T y`, `raw S z`."""

    def __init__(self, text: str, const: bool) -> None:
        words = text.split()
        if len(words) < 2:
            raise Exception(f"Syntax error: {text}")  # noqa: TRY002, CuPy's
        *modifiers, kind, self.name = words
        self.letter = kind if len(kind) == 1 else None
        self.dtype = None if self.letter else np.dtype(kind)
        self.raw = "raw" in modifiers
        self.const = const and "_non_const" not in modifiers
        for word in modifiers:
            if word not in ("raw", "_non_const"):
                raise Exception(f'Unknown keyword "{word}"')  # noqa: TRY002, CuPy's


def _parameters(text: str, const: bool) -> tuple[_Parameter, ...]:
    return tuple(_Parameter(part, const) for part in text.strip().split(",")) if text else ()


class ElementwiseKernel:
    """A kernel that does something for each element."""

    def __init__(self, in_params: str, out_params: str, operation: str, name: str = "kernel",
                 reduce_dims: bool = True, preamble: str = "", no_return: bool = False,
                 return_tuple: bool = False, **kwargs: Any) -> None:
        if not re.fullmatch("[a-zA-Z_][a-zA-Z_0-9]*", name):
            raise ValueError(f'Invalid kernel name: "{name}"')
        self.in_params, self.out_params = _parameters(in_params, True), _parameters(out_params, False)
        self.params = self.in_params + self.out_params
        self.nin, self.nout, self.nargs = len(self.in_params), len(self.out_params), len(self.params)
        self.operation, self.name, self.preamble = operation, name, preamble
        self.no_return, self.return_tuple = no_return, return_tuple
        unknown = kwargs.keys() - {"loop_prep", "after_loop", "options"}
        if unknown:
            raise TypeError(f"unexpected keyword arguments {sorted(unknown)}")
        self.loops = {key: kwargs[key] for key in ("loop_prep", "after_loop") if key in kwargs}
        if "i" in [p.name for p in self.params]:
            raise ValueError("Can not use 'i' as a parameter name")

    def __call__(  # noqa: D102, CuPy's
        self, *args: Any, size: int = -1, stream: Any = None, block_size: int = 128
    ) -> Any:
        if block_size <= 0:
            raise ValueError("block_size must be greater than zero")
        if len(args) not in (self.nin, self.nargs):
            raise TypeError(f"Wrong number of arguments for {self.name!r}. It must be either {self.nin} or "
                            f"{self.nargs} (with outputs), but given {len(args)}.")
        for a in args:
            if not isinstance(a, ndarray | np.generic | bool | int | float | complex):
                raise TypeError(f"Unsupported type {type(a)}")
        check_device([a for a in args if isinstance(a, ndarray)])
        inputs, outputs = list(args[:self.nin]), list(args[self.nin:])
        shape = self._shape(args, size)
        types = self._types(inputs, outputs)
        dtypes = [p.dtype or types[p.letter or ""] for p in self.params]
        if not outputs:
            if size == -1 and any(p.raw for p in self.out_params):
                raise ValueError("Output array size is Undecided")
            outputs = [empty(shape, dtype) for dtype in dtypes[self.nin:]]
        for p, a in zip(self.out_params, outputs, strict=True):
            if not p.raw and a.shape != shape:
                raise ValueError("Out shape is mismatched")
        if 0 not in shape:
            run = self._run([*inputs, *outputs], dtypes, types, shape)
            submit("KERNEL", self.name, run, None if stream is None else stream.ptr)
        if self.no_return:
            return None
        return outputs[0] if self.nout == 1 and not self.return_tuple else tuple(outputs)

    def _shape(self, args: Sequence[Any], size: int) -> tuple[int, ...]:
        """Give the shape of the loop: that of all arrays that are not raw, the results among them."""
        arrays = [a for p, a in zip(self.params, args, strict=False) if not p.raw and isinstance(a, ndarray)]
        if size != -1:
            if arrays:
                raise ValueError("Specified 'size' can be used only if all of the ndarray are 'raw'.")
            return (size,)
        if not arrays:
            raise ValueError("Loop size is undecided.")
        return np.broadcast_shapes(*(a.shape for a in arrays))

    def _types(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> dict[str, Any]:
        """Find the dtypes that the letters stand for; those of scalars say nothing."""
        types: dict[str, Any] = {}
        for p, a in [*zip(self.out_params, outputs, strict=False),
                     *zip(self.in_params, inputs, strict=True)]:
            if not isinstance(a, ndarray):
                if p in self.out_params:
                    raise TypeError("Output arguments must be cupy.ndarray")
                continue
            wanted = types.setdefault(p.letter, a.dtype) if p.letter else p.dtype
            if wanted != a.dtype:
                raise TypeError(f"Type is mismatched. {p.name} {a.dtype} {wanted} {p.letter or ''}")
        for p in self.params:
            if p.letter and p.letter not in types:
                raise KeyError(p.letter)
        return types

    def _run(self, args: list[Any], dtypes: list[Any], types: dict[str, Any], shape: tuple[int, ...]
             ) -> Callable[[], None]:
        """Make the piece of work, which holds memory and no arrays."""
        hosts, arguments = [], []
        for p, a, dtype in zip(self.params, args, dtypes, strict=True):
            if not isinstance(a, ndarray):
                hosts.append(np.array(a).astype(dtype))
            elif not p.raw:
                hosts.append(np.broadcast_to(a._array, shape) if a.shape != shape else a._array)
            elif a.flags.c_contiguous:
                hosts.append(a._array)
            else:
                raise ValueError(f"{self.name}: the raw argument {p.name} does not lie row by row")
            kind = "raw" if p.raw else "array" if isinstance(a, ndarray) else "scalar"
            arguments.append(Argument(p.name, np.dtype(dtype), kind, p.const))
        parameters = 8 + sum(h.itemsize if a.kind == "scalar" else 16 + 16 * h.ndim
                             for a, h in zip(arguments, hosts, strict=True))
        if parameters > PARAMETER_BYTES:
            raise ValueError(f"{self.name} has {parameters} bytes of parameters; CUDA takes {PARAMETER_BYTES}")
        text = source(self.name, arguments, sorted(types.items()), self.operation, self.preamble, **self.loops)
        function = compiled(self.name, text)
        n = len(hosts)
        strides = [(ctypes.c_ssize_t * max(h.ndim, 1))(*h.strides) for h in hosts]
        given = (
            ctypes.c_ssize_t(int(np.prod(shape, dtype=int))), ctypes.c_int(len(shape)),
            (ctypes.c_ssize_t * max(len(shape), 1))(*shape),
            (ctypes.c_void_p * n)(*(h.__array_interface__["data"][0] for h in hosts)),
            (ctypes.POINTER(ctypes.c_ssize_t) * n)(
                *(ctypes.cast(s, ctypes.POINTER(ctypes.c_ssize_t)) for s in strides)),
            (ctypes.c_ssize_t * n)(*(h.size for h in hosts)),
        )

        def run() -> None:
            outside = function(*given)
            if outside:
                sizes = {p.name: h.size for p, h in zip(self.params, hosts, strict=True) if p.raw}
                raise IndexError(f"{self.name} read or wrote {outside} times beyond the end of {sizes}")

        return run
