"""Kernels of CUDA for the windows of images: each is started once, and every number is computed by itself.

So no two threads write to one place, and sums are the same at each run.
"""

from __future__ import annotations

import functools
from typing import Any

import cupy

from xpnet.functional.windows import Windows

__all__ = ["columns", "fold", "largest", "where_largest", "windows_gradient"]

SIZES = "H, W, FH, FW, OH, OW, sh, sw, ph, pw"
"""Of an image, a window, the output; the strides, and the padding."""

OUTPUT = """
    const I ow = k % OW, oh = k / OW % OH, image = k / OW / OH;
    const I top = oh * sh - ph, left = ow * sw - pw;
"""
"""Which window an element of the output belongs to; an image is one channel of one."""

PIXEL = """
    const I w = k % W, h = k / W % H, image = k / W / H;
    const I last_oh = min(OH - 1, (h + ph) / sh), last_ow = min(OW - 1, (w + pw) / sw);
    const I first_oh = h + ph < FH ? 0 : (h + ph - FH) / sh + 1;
    const I first_ow = w + pw < FW ? 0 : (w + pw - FW) / sw + 1;
"""
"""Which windows a pixel of an image lies in."""


def columns(x: Any, windows: Windows) -> Any:
    """Give the windows of images `(N, C, H, W)`, one in each column: `(N, C * FH * FW, OH * OW)`."""
    (FH, FW), (OH, OW) = windows.size, windows.output
    N, C = x.shape[:2]
    out = cupy.empty((N, C * FH * FW, OH * OW), x.dtype)
    _kernel("columns", "raw T x", "T out", """
        const I ow = k % OW, oh = k / OW % OH, fw = k / OW / OH % FW, fh = k / OW / OH / FW % FH;
        const I image = k / OW / OH / FW / FH, h = oh * sh + fh - ph, w = ow * sw + fw - pw;
        const bool inside = h >= 0 && h < H && w >= 0 && w < W;
        out = inside ? x[(image * H + h) * W + w] : T(0);
        """, out, x)(cupy.ascontiguousarray(x), *_sizes(windows), out)
    return out


def fold(columns: Any, x: Any, windows: Windows) -> Any:
    """Sum the columns of windows where they lie on images like `x`: the transpose of `columns`."""
    out = cupy.empty(x.shape, x.dtype)
    _kernel("fold", "raw T columns", "T out", PIXEL + """
        T total = 0;
        for (I oh = first_oh; oh <= last_oh; ++oh) for (I ow = first_ow; ow <= last_ow; ++ow) {
            const I fh = h + ph - oh * sh, fw = w + pw - ow * sw;
            total += columns[(((image * FH + fh) * FW + fw) * OH + oh) * OW + ow];
        }
        out = total;
        """, columns, out)(columns, *_sizes(windows), out)
    return out


def largest(x: Any, windows: Windows) -> Any:
    """Give the largest number of each window, `(N, C, OH, OW)`: NaN where there is one."""
    out = cupy.empty((*x.shape[:2], *windows.output), x.dtype)
    _kernel("largest", "raw T x, T lowest", "T out", OUTPUT + """
        T found = lowest;
        for (I h = max(top, I(0)); h < min(top + FH, H); ++h)
            for (I w = max(left, I(0)); w < min(left + FW, W); ++w) {
                const T here = x[(image * H + h) * W + w];
                if (here > found || here != here) found = here;
            }
        out = found;
        """, x, out)(cupy.ascontiguousarray(x), -cupy.inf, *_sizes(windows), out)
    return out


def where_largest(x: Any, y: Any, windows: Windows) -> Any:
    """Give the place in its image of the first pixel of each window that is `y`; -1 where none is."""
    out = cupy.empty(y.shape, cupy.int32)
    _kernel("where_largest", "raw T x, T y", "int32 out", OUTPUT + """
        I found = -1;
        for (I h = max(top, I(0)); h < min(top + FH, H) && found < 0; ++h)
            for (I w = max(left, I(0)); w < min(left + FW, W) && found < 0; ++w)
                if (x[(image * H + h) * W + w] == y) found = h * W + w;
        out = found;
        """, x, out)(cupy.ascontiguousarray(x), y, *_sizes(windows), out)
    return out


def windows_gradient(dout: Any, places: Any, x: Any, windows: Windows) -> Any:
    """Bring a gradient from each window to the pixel that `where_largest` found in it."""
    out = cupy.empty(x.shape, x.dtype)
    _kernel("windows_gradient", "raw T dout, raw int32 places", "T out", PIXEL + """
        T total = 0;
        for (I oh = first_oh; oh <= last_oh; ++oh) for (I ow = first_ow; ow <= last_ow; ++ow) {
            const I window = (image * OH + oh) * OW + ow;
            if (places[window] == h * W + w) total += dout[window];
        }
        out = total;
        """, dout, out)(cupy.ascontiguousarray(dout), places, *_sizes(windows), out)
    return out


def _sizes(windows: Windows) -> tuple[int, ...]:
    return (*windows.image, *windows.size, *windows.output, *windows.stride, *windows.pad)


def _kernel(name: str, inputs: str, outputs: str, text: str, *indexed: Any) -> Any:
    """Give a kernel whose indices are of 32 bits, in which division is fast, if the arrays allow it."""
    wide = any(a.size >= 2**31 for a in indexed)
    return _compiled(name, inputs, outputs, text, "long long" if wide else "int")


@functools.cache
def _compiled(name: str, inputs: str, outputs: str, text: str, index: str) -> Any:
    sizes = ", ".join(f"int64 {name}_" for name in SIZES.split(", "))
    own = [f"const I {name} = {name}_;" for name in SIZES.split(", ")]
    body = "\n".join([f"typedef {index} I;", "const I k = i;", *own, text])
    return cupy.ElementwiseKernel(f"{inputs}, {sizes}", outputs, body, f"xpnet_{name}")
