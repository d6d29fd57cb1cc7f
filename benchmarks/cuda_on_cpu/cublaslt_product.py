"""The products of cuBLASLt and what goes with them, on addresses: `D = epilogue(alpha op(A) op(B) + beta C)`.

Matrices lie column by column, and so do the bits of a mask. From NVIDIA's documentation of
`cublasLtMatmulDescAttributes_t` and `cublasLtEpilogue_t`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks.cuda_on_cpu.memory import check_address

__all__ = ["DTYPES", "SCALE_TYPES", "Layout", "Operation", "product", "why_not"]

Host = np.ndarray[Any, Any]
DTYPES: dict[int, np.dtype[Any]] = {0: np.dtype("f4"), 1: np.dtype("f8"), 2: np.dtype("f2")}
"""By CUDA's numbers: CUDA_R_32F, CUDA_R_64F, CUDA_R_16F."""
FAST_TF32, OF_64 = 77, (70, 71)
SCALE_TYPES = {**dict.fromkeys((68, 69, 74, 75, FAST_TF32), (0,)), **dict.fromkeys(OF_64, (1,)),
               64: (2,)}
"""The scale types that go with a compute type."""
DEFAULT, RELU, BIAS, AUX, DRELU, BGRAD, BGRADA, BGRADB = 1, 2, 4, 128, 8, 16, 256, 512
"""The bits of an epilogue; DRELU and BGRAD never come without AUX, whose mask they read."""
EPILOGUES = {DEFAULT, RELU, BIAS, RELU | BIAS, RELU | AUX, RELU | BIAS | AUX, DRELU | AUX,
             DRELU | BGRAD | AUX, BGRADA, BGRADB}
VECTORS = BIAS | BGRAD | BGRADA | BGRADB
"""Those that read or write what BIAS_POINTER points to."""
MASK_UNIT = 128
"""Bits that a column of a mask is a multiple of."""


class Operation(NamedTuple):
    """What a descriptor says."""

    compute_type: int
    scale_type: int
    transposed: tuple[bool, bool]
    epilogue: int
    bias: int
    bias_step: int
    mask: int
    mask_leading: int
    mask_step: int


class Layout(NamedTuple):
    """What a layout says."""

    type: int
    rows: int
    columns: int
    leading: int
    batch: int
    step: int

    def check(self) -> None:
        """Refuse what makes no sense."""
        if min(self.rows, self.columns, self.batch) < 1 or self.leading < self.rows:
            raise ValueError(f"no such matrices: {self}")

    def at(self, address: int) -> Host:
        """Give the matrices `(batch, rows, columns)` at an address."""
        item = DTYPES[self.type].itemsize
        strides = (self.step * item, item, self.leading * item)
        return _memory(address, (self.batch, self.rows, self.columns), strides, DTYPES[self.type])


def why_not(operation: Operation, a: Layout, b: Layout, c: Layout, d: Layout) -> str:
    """Refuse what makes no sense, and tell what cuBLASLt has no way for; nothing if it has one."""
    (m, k), (of_b, n) = (
        (x.columns, x.rows) if transposed else (x.rows, x.columns)
        for x, transposed in zip((a, b), operation.transposed, strict=True)
    )
    if k != of_b or (d.rows, d.columns) != (m, n) or (c.rows, c.columns) != (m, n):
        raise ValueError(f"a product ({m}, {k}) by ({of_b}, {n}), into ({d.rows}, {d.columns})")
    if len({a.batch, b.batch, c.batch, d.batch}) != 1:
        raise ValueError(f"batches of {a.batch}, {b.batch}, {c.batch} and {d.batch}")
    if d.batch > 1 and d.step < d.leading * (d.columns - 1) + d.rows:
        raise ValueError(f"the {d.batch} results lie in one another: {d}")
    types = {x.type for x in (a, b, c, d)}
    if len(types) > 1 or (1 in types) != (operation.compute_type in OF_64) or (
            operation.compute_type == 64 and types != {2}):
        return f"data types {types} with compute type {operation.compute_type}"
    epilogue = operation.epilogue
    if epilogue not in EPILOGUES:
        return f"epilogue {epilogue}"
    if 1 in types and epilogue != DEFAULT:
        return "an epilogue in float64"
    if epilogue & VECTORS and not operation.bias:
        raise ValueError("an epilogue with a bias or its gradient, and no BIAS_POINTER")
    if epilogue & AUX and (not operation.mask or operation.mask_leading % MASK_UNIT
                           or operation.mask_leading < m):
        raise ValueError(f"a mask at {operation.mask:#x} of {operation.mask_leading} bits a column, for {m} "
                         f"rows: they are to be a multiple of {MASK_UNIT}")
    return ""


def product(
    operation: Operation, a: Layout, b: Layout, c: Layout, d: Layout, *, pointers: tuple[int, ...],
    scales: tuple[float, ...],
) -> Callable[[], None]:
    """Make the piece of work that computes a product; where it reads and writes is checked now."""
    A, B, C, D = (layout.at(p) for layout, p in zip((a, b, c, d), pointers, strict=True))
    epilogue, item = operation.epilogue, D.dtype.itemsize
    vector = mask = np.empty(0)
    if epilogue & VECTORS:
        length = d.columns if epilogue & BGRADB else d.rows
        vector = _memory(operation.bias, (d.batch, length), (operation.bias_step * item, item), D.dtype)
    if epilogue & AUX:
        stride = operation.mask_leading // 8
        mask = _memory(operation.mask, (d.batch, d.columns, stride), (operation.mask_step // 8, stride, 1),
                       np.uint8)
    alpha, beta = scales

    def run() -> None:
        with np.errstate(all="ignore"):
            left, right = (_read(X, operation, k) for k, X in enumerate((A, B)))
            out = alpha * (left @ right)
            if beta:  # with 0, what lies in C is not read
                out += beta * C.astype(out.dtype)
            D[...] = _finished(epilogue, left, right, out, vector, mask)

    return run


def _read(X: Host, operation: Operation, which: int) -> Host:
    """Give op(A) or op(B) in the precision in which they are multiplied."""
    X = X.astype(np.float64 if X.dtype == np.float64 else np.float32)
    if operation.compute_type == FAST_TF32:
        bits, finite = X.view(np.uint32), np.isfinite(X)
        bits[finite] = (bits + 0xFFF + ((bits >> 13) & 1))[finite] & ~np.uint32(0x1FFF)
    return X.mT if operation.transposed[which] else X


def _finished(epilogue: int, left: Host, right: Host, out: Host, vector: Host, mask: Host) -> Host:
    """Apply the epilogue, which may write to the vector and the mask."""
    rows = out.shape[1]
    if epilogue & BIAS:
        out = out + vector[:, :, None]
    if epilogue & AUX and epilogue & RELU:
        bits = np.zeros((*mask.shape[:2], 8 * mask.shape[2]), bool)
        bits[:, :, :rows] = out.mT > 0
        mask[...] = np.packbits(bits, axis=-1, bitorder="little")
    elif epilogue & AUX:
        out = np.where(np.unpackbits(mask, axis=-1, bitorder="little")[:, :, :rows].mT, out, 0)
    if epilogue & RELU:
        out = np.where(out > 0, out, 0)  # NaN becomes 0, as is said of the library
    if epilogue & BGRAD:
        vector[...] = out.sum(axis=2)
    if epilogue & BGRADA:
        vector[...] = left.sum(axis=2)
    if epilogue & BGRADB:
        vector[...] = right.sum(axis=1)
    return out


def _memory(address: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: Any) -> Host:
    """Give the numbers that lie at an address of the device."""
    dtype = np.dtype(dtype)
    size = sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True)) + dtype.itemsize
    check_address(address, size)
    return np.ndarray(shape, dtype, (ctypes.c_char * size).from_address(address), strides=strides)
