"""CUDA's own compiler takes every kernel of the CuPy backend, with CuPy's headers; no GPU is needed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from shell import Shell
from variants import installed

COLLECT = '''
"""Print every kernel of the backend as CuPy would write it, for two dtypes, each in a namespace of its own."""
import os, sys
import cupy

class Kernel:
    made = []

    def __init__(self, inputs, outputs, text, name, **options):
        self.inputs, self.outputs, self.text, self.name = inputs, outputs, text, name
        Kernel.made.append(self)

    def __call__(self, *args, **options):
        return None

class Images:
    ndim, dtype = 4, cupy.dtype("f4")

    def __init__(self, size):
        self.size, self.shape = size, (2, 3, 6, 6)

cupy.ElementwiseKernel, cupy.ascontiguousarray = Kernel, lambda a: a
from xpnet.functional.windows import Windows
from xpnet_backends import cupy_cross_entropy, cupy_dropout, cupy_products, cupy_updates, cupy_windows

windows = Windows((6, 6), (3, 3), (1, 1), (1, 1))
for size in (10, 2**31):
    cupy.empty = lambda shape, dtype=None, size=size: Images(size)
    a = Images(size)
    cupy_windows.columns(a, windows)
    cupy_windows.fold(a, a, windows)
    cupy_windows.largest(a, windows)
    cupy_windows.where_largest(a, a, windows)
    cupy_windows.windows_gradient(a, a, a, windows)
for rule, each in cupy_updates.RULES_IN_CUDA.items():
    remembered = {"sgd": 0, "adam": 2}.get(rule, 1)
    names, numbers = tuple(each.constants.split()), ("scale", "eps") if rule == "adam" else ()
    cupy_updates._kernel(rule, 3, remembered, "", (*names, "lr"), numbers)
    cupy_updates._kernel(rule, 8, remembered, "l2", (*names, "decay"), (*numbers, "lr"))
    cupy_updates._kernel(rule, 1, remembered, "decoupled", (*names, "lr", "decay"), numbers)

print("#include <cupy/complex.cuh>\\n#include <cupy/carray.cuh>\\n#include <cupy/float16.cuh>\\n#include <cupy/atomics.cuh>")
C = {"int64": "long long", "int32": "int"}
HALF = ("largest", "where_largest", "windows_gradient", "dropout_mask")
for k, kernel in enumerate(Kernel.made):
    half = [("float16", "int")] if kernel.name.removeprefix("xpnet_") in HALF else []
    for T, S in (("float", "unsigned char"), ("double", "long long"), *half):
        params, first = [], []
        for const, text in (("const ", kernel.inputs), ("", kernel.outputs)):
            for param in text.split(", "):
                kind, name = param.removeprefix("raw ").split()
                kind = C.get(kind, kind)
                array = f"{const}CArray<{kind}, 1, true, true>"
                if param.startswith("raw "):
                    params.append(f"{array} {name}")
                elif not const or name in ("x", "y", "dout"):
                    params.append(f"{array} raw_{name}")
                    first.append(f"{const}{kind} &{name} = raw_{name}[_ind.get()];")
                else:
                    params.append(f"{const}{kind} {name}")
        print(f"""namespace of_{k}_{T} {{
typedef {T} T; typedef {S} S;
__global__ void {kernel.name}({", ".join(params)}, CIndexer<1, true> _ind) {{
CUPY_FOR(i, _ind.size()) {{ _ind.set(i); {" ".join(first)}
{kernel.text};
}} }} }}""")
print(os.path.join(os.path.dirname(cupy.__file__), "_core", "include"), file=sys.stderr)
'''


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
@pytest.mark.skipif(not installed("cupy"), reason="cupy is not installed")
def test_cudas_compiler_takes_every_kernel(shell: Shell) -> None:
    program = shell.folder / "collect.py"
    program.write_text(COLLECT)
    done = shell.python(program)
    assert done.returncode == 0, done.stderr
    source = Path(shell.folder / "kernels.cu")
    source.write_text(done.stdout)
    assert done.stdout.count("__global__") >= 50
    compiled = subprocess.run(
        ["nvcc", "-arch=sm_80", "-std=c++17", "-ptx", "-I", done.stderr.split()[-1], source, "-o", "kernels.ptx"],
        cwd=shell.folder, capture_output=True, text=True, check=False, timeout=200)
    assert compiled.returncode == 0, compiled.stderr
    assert "warning" not in compiled.stderr, compiled.stderr
