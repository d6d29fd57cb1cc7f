"""Convolution on NumPy: as few images at a time as fit the processor's cache with all their windows.

Images are laid out in one flat buffer, their channels first, `(C, n, H + 2 pad, W + pad)`: the zeros at
the right of a row are also those at the left of the next. With a stride of 1, a window's neighbour is
the next number there, also from the end of a row to the start of the next. So rows of windows are made as
long as those rows: the last few of each are nonsense, and cut off in the end, and what is at one place
in all windows of a channel becomes one long run. To copy such runs takes a fifth of the time of the
products; many short ones take longer than these.

Such nonsense is multiplied by 0 in the gradient of W, and padding by pixels, so that one that is infinite
or NaN may make all of that gradient NaN, where `xpnet.functional` keeps to the elements that it meets. For
the same reason NumPy's warnings of overflow and NaN would say nothing here, and are off.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnet.functional import convolution as plain_convolution
from xpnet.functional import convolution_backward as plain_convolution_backward
from xpnet.functional.convolution import check_convolution
from xpnet.functional.windows import Pair, Windows
from xpnet_backends.numpy_recording import recordable
from xpnet_backends.numpy_threads import share

__all__ = ["convolution", "convolution_backward"]

BLOCK = 2**17
"""Numbers in the windows of as many images as are computed at a time: half a MiB of float32."""

_DTYPES = (np.dtype("f4"), np.dtype("f8"))


class _Block:
    """Buffers for some images and their windows."""

    def __init__(self, windows: Windows, channels: int, images: int, dtype: Any) -> None:
        (Hp, _), (FH, FW), (OH, OW) = windows.padded, windows.size, windows.output
        (sh, sw), (H, W), (ph, pw) = windows.stride, windows.image, windows.pad
        row = _row(windows)
        size = channels * images * Hp * row
        self.flat: Any = np.zeros(pw + size + FW, dtype)  # the last windows reach beyond the images
        self.images = self.flat[pw:pw + size].reshape(channels, images, Hp, row)[:, :, ph:ph + H, :W]
        steps = (images * Hp * row, row, 1, Hp * row, sh * row, sw)
        self.windows = np.lib.stride_tricks.as_strided(
            self.flat, (channels, FH, FW, images, OH, row if sw == 1 else OW),
            [step * self.flat.itemsize for step in steps],
        )

    def columns(self) -> Any:
        """Give room for a copy of the windows."""
        return np.empty(self.windows.shape, self.flat.dtype)


def _row(windows: Windows) -> int:
    """Give the length of a row of the buffer: one that holds the image's, its padding and its windows."""
    return max(windows.image[1] + windows.pad[1], windows.output[1])


def _images_at_a_time(windows: Windows, channels: int, count: int) -> int:
    (FH, FW), (OH, _) = windows.size, windows.output
    return max(1, min(count, BLOCK // max(1, channels * FH * FW * OH * _row(windows))))


@recordable
def convolution(
    x: Any, W: Any, b: Any, *, stride: Pair = 1, pad: Pair = 0, out: Any = None
) -> Any:
    """Stand in for `xpnet.functional.convolution`."""
    if not _is_usual(x, W, b):
        return put(plain_convolution(x, W, b, stride=stride, pad=pad), out)
    windows = check_convolution("convolution", x, W, b, stride, pad)
    return _correlate(x, W, windows, b, out=out)[0]


@recordable
def convolution_backward(
    dout: Any, x: Any, W: Any, b: Any, *, stride: Pair = 1, pad: Pair = 0, with_dx: bool = True,
    out: Any = None,
) -> tuple[Any, Any, Any]:
    """Stand in for `xpnet.functional.convolution_backward`."""
    if not _is_usual(x, W, b):
        return put(
            plain_convolution_backward(dout, x, W, b, stride=stride, pad=pad, with_dx=with_dx), out)
    into = None if out is None else out[0]
    windows = check_convolution("convolution_backward", x, W, b, stride, pad, dout)
    (FN, C, FH, FW), (ph, pw) = W.shape, windows.pad
    # Windows on dout serve both products; only there may be many more of its channels than of x's.
    if with_dx and windows.stride == (1, 1) and ph < FH and pw < FW and FN <= 4 * C:
        back = Windows(windows.output, (FH, FW), (1, 1), (FH - 1 - ph, FW - 1 - pw))
        dx, dW = _correlate(dout, _turned(W), back, partner=x, out=into)
        dW = _turned(dW)
    else:
        dx, dW = _fold(dout, x, W, windows, with_dx, into)
    db = sum(share(lambda first, last: dout[first:last].sum(axis=(0, 2, 3)), len(dout)),
             np.zeros(FN, dout.dtype))
    return dx, put(dW, None if out is None else out[1]), put(db, None if out is None else out[2])


def put(found: Any, out: Any) -> Any:
    """Put what was found where it is wanted, if it is wanted anywhere."""
    if isinstance(found, tuple):
        return tuple(map(put, found, out or (None,) * len(found)))
    if out is None or found is None:
        return found
    out[...] = found
    return out


def _is_usual(x: Any, W: Any, b: Any) -> bool:
    """Tell whether these are images and filters without stack axes, of 32 or 64 bits."""
    return x.ndim == W.ndim == 4 and b.ndim == 1 and x.dtype in _DTYPES and 0 not in W.shape


def _turned(W: Any) -> Any:
    """Turn filters from x to dout into those from dout to dx, and back."""
    return W[:, :, ::-1, ::-1].swapaxes(0, 1)


@np.errstate(over="ignore", invalid="ignore")
def _correlate(x: Any, W: Any, windows: Windows, b: Any = None, partner: Any = None,
               out: Any = None) -> tuple[Any, Any]:
    """Slide filters over images.

    With a partner, images of the output's size, also give the products of all windows with it, summed
    over the images and turned as filters from x to it: `(FN, C, FH, FW)`.
    """
    (N, C), (FN, _, FH, FW), (OH, OW) = x.shape[:2], W.shape, windows.output
    if out is None:
        out = np.empty((N, FN, OH, OW), x.dtype)
    rows = W.reshape(FN, -1)

    def work(first: int, last: int) -> Any:
        size = _images_at_a_time(windows, C, last - first)
        block = _Block(windows, C, size, x.dtype)
        col = block.columns()
        flat = col.reshape(rows.shape[1], -1)
        y = np.empty((FN, *col.shape[3:]), x.dtype)
        other = np.zeros((*col.shape[3:], FN), x.dtype)  # and 0 at the end of rows
        products = np.zeros((rows.shape[1], FN), x.dtype)
        for k in range(first, last, size):
            n = min(size, last - k)
            block.images[:, :n] = x[k:k + n].swapaxes(0, 1)
            np.copyto(col, block.windows)
            np.matmul(rows, flat, out=y.reshape(FN, -1))
            if b is not None:
                y += b[:, None, None, None]
            out[k:k + n] = y[:, :n, :, :OW].swapaxes(0, 1)
            if partner is not None:
                other[n:] = 0
                other[:n, :, :OW] = partner[k:k + n].transpose(0, 2, 3, 1)
                products += flat @ other.reshape(-1, FN)
        return products

    products = sum(share(work, N), np.zeros((rows.shape[1], FN), x.dtype))
    return out, products.T.reshape(FN, C, FH, FW)


@np.errstate(over="ignore", invalid="ignore")
def _fold(dout: Any, x: Any, W: Any, windows: Windows, with_dx: bool,
          out: Any = None) -> tuple[Any, Any]:
    """Give dx, which adds up at each pixel what belongs to it in all windows, if wanted, and dW."""
    FN, C, FH, FW = W.shape
    OW = windows.output[1]
    columns = np.ascontiguousarray(W.reshape(FN, -1).T)
    dx = None if not with_dx else np.empty(x.shape, x.dtype) if out is None else out

    def work(first: int, last: int) -> Any:
        size = _images_at_a_time(windows, C, last - first)
        block, folded = (_Block(windows, C, size, x.dtype) for _ in range(2))
        col = block.columns()
        flat = col.reshape(columns.shape[0], -1)
        dy = np.zeros((*col.shape[3:], FN), x.dtype)
        dW = np.zeros_like(columns)
        for k in range(first, last, size):
            n = min(size, last - k)
            dy[n:] = 0
            dy[:n, :, :OW] = dout[k:k + n].transpose(0, 2, 3, 1)
            block.images[:, :n] = x[k:k + n].swapaxes(0, 1)
            np.copyto(col, block.windows)
            dW += flat @ dy.reshape(-1, FN)
            if dx is None:
                continue
            np.matmul(columns, dy.reshape(-1, FN).T, out=flat)
            folded.flat[...] = 0
            for i in range(FH):
                for j in range(FW):
                    folded.windows[:, i, j] += col[:, i, j]
            dx[k:k + n] = folded.images[:, :n].swapaxes(0, 1)
        return dW

    dW = sum(share(work, x.shape[0]), np.zeros_like(columns))
    return dx, dW.T.reshape(W.shape)
