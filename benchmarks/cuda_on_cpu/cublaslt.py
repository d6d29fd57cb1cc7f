"""Stand-ins for the functions of `nvmath.bindings.cublasLt`; its enumerations and dtypes are the real ones.

Arguments are checked as NVIDIA's documentation says, sizes of attributes included, and nonsense is a
ValueError, where cuBLASLt would answer INVALID_VALUE or read what is not there.
"""

from __future__ import annotations

import ctypes
import importlib
import itertools
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from benchmarks.cuda_on_cpu.capture import submit
from benchmarks.cuda_on_cpu.cublaslt_product import (
    DTYPES,
    SCALE_TYPES,
    Layout,
    Operation,
    product,
    why_not,
)
from benchmarks.cuda_on_cpu.memory import check_address

__all__ = ["install"]

Attributes = dict[int, Any]
_numbers = itertools.count(0x10000, 16)
_held: dict[int, Any] = {}
"""Handles, descriptors, layouts and preferences, by the numbers given out for them."""
lt: Any = None
"""The module whose functions these are."""
WORKSPACE = 4096
"""Bytes that an algorithm wants, if it is given as many."""
WORKSPACE_ALIGNMENT = ALIGNMENT = 256
"""Bytes; of matrices, where the preference does not say."""


@dataclass
class _Thing:
    """A descriptor, layout or preference."""

    kind: str
    attributes: Attributes = field(default_factory=dict)


def install() -> None:
    """Replace the functions of the module, if it is installed."""
    global lt
    try:
        lt = importlib.import_module("nvmath.bindings.cublasLt")
    except ImportError:
        return
    for f in (create, matmul_desc_create, matrix_layout_create, matmul_preference_create, matmul,
              matmul_algo_get_heuristic):
        setattr(lt, f.__name__, f)
    for kind in ("matmul_desc", "matrix_layout", "matmul_preference"):
        dtype_of = getattr(lt, f"get_{kind}_attribute_dtype")
        setattr(lt, f"{kind}_set_attribute", _setter(kind, dtype_of))
        setattr(lt, f"{kind}_destroy", _destroyer(kind))
    lt.destroy = _destroyer("handle")
    lt.get_version = lambda: 130200
    lt.get_cudart_version = lambda: 13020


def not_supported(text: str) -> Exception:
    """Make an error of the module's class, whose own constructor asks the library for words."""
    class Error(lt.cuBLASLtError):  # type: ignore[misc]
        def __init__(self, text: str) -> None:
            Exception.__init__(self, f"NOT_SUPPORTED (15): {text}")
            self.status = 15

    Error.__name__ = Error.__qualname__ = "cuBLASLtError"
    return Error(text)


def create() -> int:
    return _new(_Thing("handle"))


def matmul_desc_create(compute_type: int, scale_type: int) -> int:
    if int(scale_type) not in SCALE_TYPES.get(int(compute_type), ()):
        raise ValueError(f"no compute type {compute_type} with scale type {scale_type}")
    of = lt.MatmulDescAttribute
    return _new(_Thing("matmul_desc", {of.COMPUTE_TYPE: int(compute_type), of.SCALE_TYPE: int(scale_type)}))


def matrix_layout_create(type: int, rows: int, cols: int, ld: int) -> int:  # noqa: A002, the real name
    if int(type) not in DTYPES:
        raise ValueError(f"no data type {type}")
    of = lt.MatrixLayoutAttribute
    return _new(_Thing("matrix_layout", {of.TYPE: int(type), of.ROWS: int(rows), of.COLS: int(cols),
                                         of.LD: int(ld)}))


def matmul_preference_create() -> int:
    return _new(_Thing("matmul_preference"))


def matmul_algo_get_heuristic(
    light_handle: int, operation_desc: int, adesc: int, bdesc: int, cdesc: int, ddesc: int, preference: int,
    requested_algo_count: int, heuristic_results_array: int, return_algo_count: int,
) -> None:
    """Find a way, for memory aligned as the preference says; or raise, as there is none."""
    _get(light_handle, "handle")
    problem = _problem(operation_desc, adesc, bdesc, cdesc, ddesc)
    if requested_algo_count < 1:
        raise ValueError("no algorithm is asked for")
    of, preferred = lt.MatmulPreferenceAttribute, _get(preference, "matmul_preference").attributes
    results = _at(heuristic_results_array, lt.matmul_heuristic_result_dtype, requested_algo_count)
    results[:1] = 0
    found = results[0]
    found["workspace_size"] = min(preferred.get(of.MAX_WORKSPACE_BYTES, 0), WORKSPACE)
    alignments = (preferred.get(getattr(of, f"MIN_ALIGNMENT_{x}_BYTES"), ALIGNMENT) for x in "ABCD")
    found["algo"]["data_"][:6] = _mark(problem), found["workspace_size"], *alignments
    _at(return_algo_count, np.int32, 1)[0] = 1


def matmul(
    light_handle: int, compute_desc: int, alpha: int, a: int, adesc: int, b: int, bdesc: int, beta: int,
    c: int, cdesc: int, d: int, ddesc: int, algo: int, workspace: int, workspace_size_in_bytes: int,
    stream: int,
) -> None:
    """Compute `D = epilogue(alpha op(A) op(B) + beta C)` on a stream."""
    _get(light_handle, "handle")
    problem = _problem(compute_desc, adesc, bdesc, cdesc, ddesc)
    pointers = (int(a), int(b), int(c), int(d))
    if algo:
        mark, needed, *alignments = _at(algo, lt.matmul_algo_dtype, 1)["data_"][0][:6].tolist()
        if mark != _mark(problem):
            raise ValueError("the algorithm was found for another product")
        if workspace_size_in_bytes < needed or workspace % WORKSPACE_ALIGNMENT:
            raise ValueError(f"the algorithm wants {needed} bytes, aligned to {WORKSPACE_ALIGNMENT}; got "
                             f"{workspace_size_in_bytes} at {workspace:#x}")
        if any(p % alignment for p, alignment in zip(pointers, alignments, strict=True)):
            raise ValueError(f"the algorithm was found for memory aligned to {alignments} bytes")
    if workspace_size_in_bytes:
        check_address(int(workspace), workspace_size_in_bytes)
    scale = DTYPES[problem.operation.scale_type]
    scales = tuple(float(_at(address, scale, 1)[0]) for address in (alpha, beta))
    run = product(*problem, pointers=pointers, scales=scales)
    submit("KERNEL", f"cublasLt_{lt.Epilogue(problem.operation.epilogue).name}", run, int(stream))


class _Problem(NamedTuple):
    """A product, but for where it reads and writes."""

    operation: Operation
    a: Layout
    b: Layout
    c: Layout
    d: Layout


def _problem(operation: int, *layouts: int) -> _Problem:
    problem = _Problem(_operation(operation), *map(_layout, layouts))
    reason = why_not(*problem)
    if reason:
        raise not_supported(reason)
    return problem


def _mark(problem: _Problem) -> int:
    """Give a number for a product, which its algorithm carries."""
    return hash(problem._replace(operation=problem.operation._replace(bias=0, mask=0))) & (2**63 - 1)


def _operation(number: int) -> Operation:
    """Read a descriptor, as it is now: what is set later is another product's."""
    of, found = lt.MatmulDescAttribute, _get(number, "matmul_desc").attributes
    known = {of.COMPUTE_TYPE, of.SCALE_TYPE, of.TRANSA, of.TRANSB, of.EPILOGUE, of.BIAS_POINTER,
             of.BIAS_BATCH_STRIDE, of.EPILOGUE_AUX_POINTER, of.EPILOGUE_AUX_LD,
             of.EPILOGUE_AUX_BATCH_STRIDE, of.POINTER_MODE, of.SM_COUNT_TARGET, of.BIAS_DATA_TYPE}
    if found.keys() - known or found.get(of.POINTER_MODE, 0):
        raise not_implemented(found.keys() - known or {of.POINTER_MODE})
    return Operation(
        compute_type=found[of.COMPUTE_TYPE], scale_type=found[of.SCALE_TYPE],
        transposed=(_transposed(found.get(of.TRANSA, 0)), _transposed(found.get(of.TRANSB, 0))),
        epilogue=int(found.get(of.EPILOGUE, lt.Epilogue.DEFAULT)),
        bias=found.get(of.BIAS_POINTER, 0), bias_step=found.get(of.BIAS_BATCH_STRIDE, 0),
        mask=found.get(of.EPILOGUE_AUX_POINTER, 0), mask_leading=found.get(of.EPILOGUE_AUX_LD, 0),
        mask_step=found.get(of.EPILOGUE_AUX_BATCH_STRIDE, 0),
    )


def _layout(number: int) -> Layout:
    of, found = lt.MatrixLayoutAttribute, _get(number, "matrix_layout").attributes
    known = {of.TYPE, of.ROWS, of.COLS, of.LD, of.ORDER, of.BATCH_COUNT, of.STRIDED_BATCH_OFFSET}
    if found.keys() - known or found.get(of.ORDER, 0):
        raise not_implemented(found.keys() - known or {of.ORDER})
    layout = Layout(found[of.TYPE], found[of.ROWS], found[of.COLS], found[of.LD],
                    found.get(of.BATCH_COUNT, 1), found.get(of.STRIDED_BATCH_OFFSET, 0))
    layout.check()
    return layout


def not_implemented(attributes: Any) -> Exception:
    return NotImplementedError(f"the stand-in for cuBLASLt has no {sorted(attributes)}")


def _transposed(operation: int) -> bool:
    if operation not in (0, 1):
        raise ValueError(f"TRANSA and TRANSB are 0 or 1 for real numbers; got {operation}")
    return operation == 1


def _setter(kind: str, dtype_of: Any) -> Any:
    def set_attribute(number: int, attr: int, buf: int, size_in_bytes: int) -> None:
        dtype = np.dtype(dtype_of(attr))
        if size_in_bytes != dtype.itemsize:
            raise ValueError(f"attribute {attr} of {kind} has {dtype.itemsize} bytes; got {size_in_bytes}")
        _get(number, kind).attributes[int(attr)] = _at(buf, dtype, 1)[0].item()

    return set_attribute


def _destroyer(kind: str) -> Any:
    def destroy(number: int) -> None:
        _get(number, kind)
        del _held[number]

    return destroy


def _new(thing: _Thing) -> int:
    number = next(_numbers)
    _held[number] = thing
    return number


def _get(number: int, kind: str) -> _Thing:
    thing = _held.get(number)
    if thing is None or thing.kind != kind:
        raise ValueError(f"{number:#x} is no {kind}, or one that was destroyed")
    return thing


def _at(address: int, dtype: Any, n: int) -> Any:
    """Give what lies at an address of the host."""
    if not address:
        raise ValueError("a null pointer")
    dtype = np.dtype(dtype)
    return np.frombuffer((ctypes.c_char * (n * dtype.itemsize)).from_address(address), dtype)
