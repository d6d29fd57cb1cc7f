"""Kernels in CUDA's C++ as functions of the CPU, by g++."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.cuda_on_cpu.errors import CompileException

__all__ = ["Argument", "compiled", "source"]

HEADER = Path(__file__).with_name("cuda.h")
C_TYPES = {
    "bool": "bool", "int8": "signed char", "int16": "short", "int32": "int", "int64": "long long",
    "uint8": "unsigned char", "uint16": "unsigned short", "uint32": "unsigned int",
    "uint64": "unsigned long long", "float16": "float16", "float32": "float", "float64": "double",
}


class Argument(NamedTuple):
    """An argument of a kernel, as far as its source depends on it."""

    name: str
    dtype: np.dtype[Any]
    kind: str
    """`"raw"`, `"array"` or `"scalar"`."""
    const: bool


def source(
    name: str, arguments: Sequence[Argument], types: Sequence[tuple[str, Any]], operation: str,
    preamble: str, loop_prep: str = "", after_loop: str = "",
) -> str:
    """Write a function that does for every `i` what a kernel's threads do, in CuPy's words.

    What a thread does is a function of its own, in a loop of one turn: `return` and `continue` end it.
    """
    outer, inner = [], []
    for k, argument in enumerate(arguments):
        n = argument.name
        c = f"{'const ' * argument.const}{C_TYPES[argument.dtype.name]}"
        if argument.kind == "raw":
            outer.append(f"CArray<{c}> {n}(_data[{k}], _sizes[{k}]);")
        elif argument.kind == "scalar":
            outer.append(f"{c} {n} = *({c} *)_data[{k}];")
        else:
            inner.append(f"{c} &{n} = *({c} *)((char *)_data[{k}] + _ind.bytes(_strides[{k}]));")
    return "\n".join([
        f'#include "{HEADER}"',
        *(f"typedef {C_TYPES[np.dtype(dtype).name]} {letter};" for letter, dtype in types),
        preamble,
        f'extern "C" ptrdiff_t {name}(ptrdiff_t _size, int _ndim, const ptrdiff_t *_shape,',
        "        void *const *_data, const ptrdiff_t *const *_strides, const ptrdiff_t *_sizes) {",
        "outside_ = 0;", "CIndexer _ind(_size, _ndim, _shape);", *outer, f"{loop_prep};",
        "auto _thread = [&](ptrdiff_t i) { for (int _turn = 0; _turn < 1; ++_turn) {",
        *inner, f"{operation};", "} };",
        "for (ptrdiff_t _i = 0; _i < _size; ++_i) { _ind.set(_i); _thread(_i); }",
        f"{after_loop};", "return outside_;", "}",
    ])


@functools.cache
def compiled(name: str, text: str) -> Any:
    """Compile a function; it is kept in a folder for temporary files, for other processes, too."""
    folder = Path(tempfile.gettempdir()) / f"xpnet-cuda-on-cpu-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    key = hashlib.sha256((text + HEADER.read_text()).encode()).hexdigest()[:32]
    library = folder / f"{key}.so"
    if not library.exists():
        compiler = shutil.which("g++")
        if compiler is None:
            raise RuntimeError("g++ is needed to run CuPy's kernels on the CPU; apt install g++")
        with tempfile.TemporaryDirectory(dir=folder) as own:  # another process may compile it, too
            made = Path(own) / "kernel.so"
            done = subprocess.run(
                [compiler, "-O1", "-shared", "-fPIC", "-std=c++17", "-w", "-fwrapv", "-x", "c++", "-",
                 "-o", made], input=text, capture_output=True, text=True, check=False)
            if done.returncode:
                raise CompileException(f"{done.stderr}\n{text}")
            made.replace(library)
    function = getattr(ctypes.CDLL(str(library)), name)
    function.restype = ctypes.c_ssize_t
    return function
