"""A stand-in for `xpnet.functional.dropout_mask`: one kernel in the place of about 160."""

from __future__ import annotations

from typing import Any

import cupy

from xpnet.functional import dropout_mask as plain_dropout_mask

__all__ = ["dropout_mask"]

_mask = cupy.ElementwiseKernel(
    "raw int32 counter, int64 stream, int32 least, int64 first", "T mask",
    """
    const int rotations[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
    const unsigned int k0 = counter[0], k1 = (unsigned int) stream;
    const long long n = first + i;
    const unsigned int keys[3] = {k0, k1, k0 ^ k1 ^ 0x1BD11BDAu};
    unsigned int x0 = counter[1] + k0, x1 = (unsigned int) (n / 4) + k1;
    for (unsigned int turn = 0; turn < 5; ++turn) {
        for (int k = 0; k < 4; ++k) {
            const int bits = rotations[turn % 2][k];
            x0 += x1;
            x1 = ((x1 << bits) | (x1 >> (32 - bits))) ^ x0;
        }
        x0 += keys[(turn + 1) % 3];
        x1 += keys[(turn + 2) % 3] + turn + 1;
    }
    const unsigned int word = n % 4 < 2 ? x0 : x1;
    mask = T((int) ((n % 2 ? word >> 16 : word) & 0xFFFF) >= least);
    """, "xpnet_dropout_mask")
"""Threefry, as in `xpnet.functional.random_bits`; each thread encrypts the block that its number is from."""


def dropout_mask(
    counter: Any, stream: int, shape: tuple[int, ...], dropout_ratio: float, dtype: Any, *, first: int = 0
) -> Any:
    """Stand in for `xpnet.functional.dropout_mask`."""
    if counter.dtype != cupy.int32 or counter.shape != (2,):
        return plain_dropout_mask(counter, stream, shape, dropout_ratio, dtype, first=first)
    mask = cupy.empty(shape, dtype)
    _mask(cupy.ascontiguousarray(counter), stream, round(dropout_ratio * 65536), first, mask)
    return mask
