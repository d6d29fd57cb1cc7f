"""cuBLASLt's products of matrices, on arrays where they lie, through nvmath-python.

It is NVIDIA's library behind CuPy's own products. CuPy refuses these to CUDA graphs (its issue 6290), and does
not offer what the library can do within a product: add a bias, apply ReLU, sum a gradient.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import threading
from typing import Any, NamedTuple

import cupy

__all__ = ["BITS", "DTYPES", "by_cublaslt", "unavailable"]

DTYPES = {cupy.dtype("f4"): 0, cupy.dtype("f8"): 1}
"""And CUDA's numbers for them, CUDA_R_32F and CUDA_R_64F."""
COMPUTE_32F, COMPUTE_32F_FAST_TF32, COMPUTE_64F = 68, 77, 70
WORKSPACE = 32 * 2**20
"""Bytes that a product may use beside its result: what NVIDIA advises for its newer cards."""
ALIGNMENT = 256
"""Bytes to which memory is aligned where CuPy allocates it."""
LEAST = 16
"""Bytes to which a bias has to be aligned."""
PLANS = 1024
"""Products that are remembered, of different shapes and places; the oldest is forgotten for one more."""
BITS = 128
"""Of how many a line of bits, of a ReLU, has a multiple."""

_plans: dict[Any, _Plan | None] = {}
_lock = threading.Lock()  # what is set on a plan is that of one call


@functools.cache
def unavailable() -> str:
    """Tell why cuBLASLt cannot be called here; nothing if it can."""
    try:
        _library().get_version()
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "nvmath":
            return "nvmath-python is not installed"
        return f"nvmath-python cannot be imported: {error}"
    except RuntimeError as error:  # there is no such library, or no driver
        return str(error).partition("\n")[0]
    return ""


class _Matrix(NamedTuple):
    """How matrices lie in memory, in the words of cuBLASLt, whose matrices lie column by column."""

    rows: int
    columns: int
    leading: int
    """Numbers from one column to the next."""
    transposed: bool
    """Whether it is this matrix transposed that is multiplied."""
    batch: int
    """How many they are; 0 of a single one."""
    step: int
    """Numbers from one to the next."""


class _Plan(NamedTuple):
    """A product that cuBLASLt has chosen a way for."""

    operation: int
    layouts: tuple[int, int, int]
    way: Any
    """Which of its algorithms, which comes first in memory, and how large a workspace that needs."""
    scales: Any
    """1 and 0, in the memory of the host: what the product, and what was there before, is multiplied by."""


def by_cublaslt(
    a: Any, b: Any, epilogue: str = "DEFAULT", vector: Any = None, bits: Any = None
) -> Any:
    """Compute `a @ b`, and with it what an epilogue does; None if the library cannot.

    Row by row, memory holds the transpose of what cuBLASLt sees column by column. So it is asked for
    `b.T @ a.T`, which is the transpose of `a @ b`, and finds all of them where they lie.

    Parameters
    ----------
    a, b : cupy.ndarray
        Matrices, or batches of as many, or one of either; transposed or not.
    epilogue : str
        A name of `cublasLtEpilogue_t`.
    vector : cupy.ndarray, optional
        The bias that it reads, or the sums that it writes: one for each column of the result (of `b`, for
        "BGRADA"; what the library calls A is here the second).
    bits : cupy.ndarray, optional
        Where ReLU's bits are written or read, a line of whole `BITS` for each row, as uint8.
    """
    if a.dtype not in DTYPES or b.dtype != a.dtype or not a.size or not b.size or unavailable():
        return None
    device = cupy.cuda.Device().id
    if vector is not None and _alignment(vector) < LEAST:
        return None
    if (a.shape[-1] != b.shape[-2] or {a.ndim, b.ndim} - {2, 3}
            or (a.ndim == b.ndim == 3 and len(a) != len(b))
            or a.device.id != device or b.device.id != device):
        return None  # CuPy has its words for what is wrong
    (a, of_a), (b, of_b) = _lying(a), _lying(b)
    batch = of_a.batch or of_b.batch
    y = cupy.empty((*[batch] * bool(batch), a.shape[-2], b.shape[-1]), a.dtype)
    of_y = _Matrix(b.shape[-1], a.shape[-2], b.shape[-1], False, batch, b.shape[-1] * a.shape[-2])
    lt, beside = _library(), {}
    if vector is not None:
        beside[lt.MatmulDescAttribute.BIAS_POINTER] = vector.data.ptr
    if bits is not None:
        beside[lt.MatmulDescAttribute.EPILOGUE_AUX_POINTER] = bits.data.ptr
        beside[lt.MatmulDescAttribute.EPILOGUE_AUX_LD] = 8 * bits.shape[1]
    aligned = _alignment(b), _alignment(a), _alignment(y)
    key = device, a.dtype, _is_tf32(a.dtype), epilogue, of_b, of_a, of_y, aligned
    with _lock:
        if key not in _plans:
            if len(_plans) == PLANS:
                _forget(_plans.pop(next(iter(_plans))))
            _plans[key] = _planned(*key, beside)
        plan = _plans[key]
        if plan is None:
            return None
        _set_operation(plan.operation, beside)
        one, (of_left, of_right, of_result) = ctypes.addressof(plan.scales), plan.layouts
        workspace = cupy.empty(plan.way.workspace_size, cupy.uint8)
        try:
            lt.matmul(_handle(device), plan.operation, one, b.data.ptr, of_left, a.data.ptr, of_right,
                      one + a.itemsize, y.data.ptr, of_result, y.data.ptr, of_result,
                      plan.way.ptr, workspace.data.ptr, workspace.nbytes,
                      cupy.cuda.get_current_stream().ptr)
        except lt.cuBLASLtError:  # it had promised too much
            _forget(plan)
            _plans[key] = None
            return None
    return y


def _lying(a: Any) -> tuple[Any, _Matrix]:
    """Tell how matrices lie; of those that lie neither row by row nor column by column, give a copy."""
    (rows, columns), (down, right) = a.shape[-2:], (n // a.itemsize for n in a.strides[-2:])
    batch, step = (a.shape[0], a.strides[0] // a.itemsize) if a.ndim == 3 else (0, 0)
    if (right == 1 or columns == 1) and (down >= columns or rows == 1) and step >= 0:
        return a, _Matrix(columns, rows, columns if rows == 1 else down, False, batch, step)
    if (down == 1 or rows == 1) and (right >= rows or columns == 1) and step >= 0:
        return a, _Matrix(rows, columns, rows if columns == 1 else right, True, batch, step)
    return _lying(cupy.ascontiguousarray(a))


def _alignment(a: Any) -> int:
    return min(a.data.ptr & -a.data.ptr, ALIGNMENT)


def _is_tf32(dtype: Any) -> bool:
    """Tell whether CuPy is told to round the numbers of such products to TF32; see `enable_tf32`."""
    of_cupy = cupy._core._routines_linalg
    return bool(dtype == cupy.float32 and cupy._core.get_compute_type(dtype) == of_cupy.COMPUTE_TYPE_TF32)


def _planned(
    device: int, dtype: Any, tf32: bool, epilogue: str, a: _Matrix, b: _Matrix, y: _Matrix,
    aligned: tuple[int, int, int], beside: dict[Any, int],
) -> _Plan | None:
    """Ask cuBLASLt for a way to compute `y = a @ b`, column by column; None if it has none."""
    lt, number = _library(), DTYPES[dtype]
    compute = COMPUTE_64F if dtype == cupy.float64 else COMPUTE_32F_FAST_TF32 if tf32 else COMPUTE_32F
    operation = lt.matmul_desc_create(compute, number)
    of = lt.MatmulDescAttribute
    _set_operation(operation, {of.TRANSA: a.transposed, of.TRANSB: b.transposed,
                               of.EPILOGUE: lt.Epilogue[epilogue], **beside})
    layouts = []
    for matrix in (a, b, y):
        layouts.append(lt.matrix_layout_create(number, matrix.rows, matrix.columns, matrix.leading))
        if y.batch:
            _set(lt.matrix_layout_set_attribute, lt.get_matrix_layout_attribute_dtype, layouts[-1], {
                lt.MatrixLayoutAttribute.BATCH_COUNT: y.batch,
                lt.MatrixLayoutAttribute.STRIDED_BATCH_OFFSET: matrix.step,
            })
    preference, of = lt.matmul_preference_create(), lt.MatmulPreferenceAttribute
    _set(lt.matmul_preference_set_attribute, lt.get_matmul_preference_attribute_dtype, preference, {
        of.MAX_WORKSPACE_BYTES: WORKSPACE, of.MIN_ALIGNMENT_A_BYTES: aligned[0],
        of.MIN_ALIGNMENT_B_BYTES: aligned[1], of.MIN_ALIGNMENT_C_BYTES: aligned[2],
        of.MIN_ALIGNMENT_D_BYTES: aligned[2],
    })
    found, count = lt.MatmulHeuristicResult(), ctypes.c_int()
    scales = (ctypes.c_double if dtype == cupy.float64 else ctypes.c_float) * 2
    plan = _Plan(operation, (layouts[0], layouts[1], layouts[2]), found, scales(1, 0))
    try:
        lt.matmul_algo_get_heuristic(_handle(device), operation, *layouts, layouts[2], preference, 1,
                                     found.ptr, ctypes.addressof(count))
    except lt.cuBLASLtError:  # as for an epilogue in float64
        count.value = 0
    finally:
        lt.matmul_preference_destroy(preference)
    if count.value:
        return plan
    _forget(plan)
    return None


def _forget(plan: _Plan | None) -> None:
    """Give back what cuBLASLt holds for a plan; graphs do not need it any more."""
    if plan is not None:
        _library().matmul_desc_destroy(plan.operation)
        for layout in plan.layouts:
            _library().matrix_layout_destroy(layout)


def _set_operation(operation: int, attributes: dict[Any, Any]) -> None:
    lt = _library()
    _set(lt.matmul_desc_set_attribute, lt.get_matmul_desc_attribute_dtype, operation, attributes)


def _set(setter: Any, dtype_of: Any, handle: int, attributes: dict[Any, Any]) -> None:
    """Set attributes of what cuBLASLt gave a handle for."""
    for attribute, value in attributes.items():
        text = dtype_of(attribute)(value).tobytes()
        held = ctypes.create_string_buffer(text, len(text))
        setter(handle, attribute, ctypes.addressof(held), len(text))


@functools.cache
def _handle(device: int) -> int:
    return int(_library().create())  # on the current device, which is this one


@functools.cache
def _library() -> Any:
    return importlib.import_module("nvmath.bindings.cublasLt")
