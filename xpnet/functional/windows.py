"""The windows that convolution and pooling slide over images, and their way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from xpnet.functional._array import Array, array_namespace, device, is_integer

__all__ = ["Pair", "Windows", "fold", "int_pair", "pad_image", "taps", "windows_on"]

Pair: TypeAlias = int | Sequence[int]
"""A number for both directions, or one each, (vertical, horizontal)."""


class Windows(NamedTuple):
    """How windows lie on an image; each pair is (vertical, horizontal).

    Attributes
    ----------
    image : pair of int
        Height and width of the image, without padding.
    size : pair of int
        Of a window.
    stride : pair of int
        Steps from one window to the next.
    pad : pair of int
        Rows above and below the image, columns left and right of it.
    """

    image: tuple[int, int]
    size: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int]

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width of the padded image."""
        (H, W), (ph, pw) = self.image, self.pad
        return H + 2 * ph, W + 2 * pw

    @property
    def output(self) -> tuple[int, int]:
        """How many windows fit below and beside each other (the book's equation 7.1).

        Rows and columns that are too few for one more window are left over.
        """
        (H, W), (FH, FW), (sh, sw) = self.padded, self.size, self.stride
        return 1 + (H - FH) // sh, 1 + (W - FW) // sw


def int_pair(where: str, what: str, value: Pair, least: int) -> tuple[int, int]:
    """Give a pair of integers, of one or two.

    Raises
    ------
    ValueError
        If they are not integers from `least`.
    """
    pair = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(pair) != 2 or not all(is_integer(n) and n >= least for n in pair):
        raise ValueError(f"{where} wants {what} to be an integer from {least}, or a pair of them, "
                         f"(vertical, horizontal); got {value!r}")
    return int(pair[0]), int(pair[1])


def windows_on(where: str, x: Array, size: tuple[int, int], stride: Pair, pad: Pair) -> Windows:
    """Lay windows on images `(…, H, W)`.

    Raises
    ------
    ValueError
        If a window is empty, or larger than the padded image.
    """
    if 0 in size:
        raise ValueError(f"{where} wants windows of at least 1x1; got {size[0]}x{size[1]}")
    image = (x.shape[-2], x.shape[-1])
    windows = Windows(image, size, int_pair(where, "stride", stride, 1), int_pair(where, "pad", pad, 0))
    if any(n > m for n, m in zip(size, windows.padded, strict=True)):
        (H, W), (ph, pw) = image, windows.pad
        raise ValueError(f"{where} has windows of {size[0]}x{size[1]}, larger than images of {H}x{W} "
                         f"with {ph} and {pw} of padding; got x of shape {tuple(x.shape)}")
    return windows


def pad_image(x: Array, windows: Windows, value: float = 0) -> Array:
    """Pad images `(…, H, W)` on all sides: `(…, H + 2 pad, W + 2 pad)`."""
    ph, pw = windows.pad
    return _padded(_padded(x, ph, ph, -2, value), pw, pw, -1, value)


def taps(x: Array, windows: Windows) -> list[Array]:
    """Take windows apart by position: all that is their upper left element, the one beside it, ….

    Parameters
    ----------
    x : array
        Padded images, `(…, H, W)`.
    windows : Windows
        How they lie.

    Returns
    -------
    list of array
        FH * FW arrays `(…, OH, OW)`, in the order of the rows.
    """
    (FH, FW), (sh, sw), (OH, OW) = windows.size, windows.stride, windows.output
    return [
        x[..., i:i + sh * (OH - 1) + 1:sh, j:j + sw * (OW - 1) + 1:sw]
        for i in range(FH) for j in range(FW)
    ]


def fold(parts: Sequence[Array], windows: Windows) -> Array:
    """Add up, at each pixel, what belongs to it in all windows: the adjoint of padding and `taps`.

    Parameters
    ----------
    parts : sequence of array
        FH * FW arrays `(…, OH, OW)`, in the order of the rows.
    windows : Windows
        How they lie.

    Returns
    -------
    array
        Images without padding, `(…, H, W)`; 0 where no window lies.
    """
    (H, W), (_, FW), (sh, sw), (ph, pw) = windows.image, *windows[1:]
    Hp, Wp = windows.padded
    rows = [_fold_axis(parts[k:k + FW], sw, Wp, -1) for k in range(0, len(parts), FW)]
    return _fold_axis(rows, sh, Hp, -2)[..., ph:ph + H, pw:pw + W]


def _fold_axis(parts: Sequence[Array], stride: int, length: int, axis: int) -> Array:
    """Add up parts of which the k-th belongs to the elements k, k + stride, … of an axis.

    Elements that are a stride apart are next to each other first: there, parts only want shifting.
    The `stride` sums are interleaved in the end. So no part has to be spread out with zeros.
    """
    xp = array_namespace(*parts)
    stride = min(stride, length)
    n, each = parts[0].shape[axis], -(-length // stride)
    sums: list[Array] = []
    for first in range(stride):
        total = None
        for shift, part in enumerate(parts[first::stride]):
            shifted = _padded(part, shift, each - n - shift, axis)
            total = shifted if total is None else total + shifted
        sums.append(xp.zeros_like(sums[0]) if total is None else total)
    if len(sums) == 1:
        return sums[0]
    shape = list(sums[0].shape)
    shape[axis] = each * stride
    whole = xp.reshape(xp.stack(sums, axis=axis % len(shape) + 1), tuple(shape))
    return whole[(..., slice(length), *(slice(None),) * (-1 - axis))]


def _padded(x: Array, before: int, after: int, axis: int, value: float = 0) -> Array:
    if before == after == 0:
        return x
    xp = array_namespace(x)

    def border(n: int) -> list[Array]:
        if None in x.shape:  # of a batch that is not known before a graph runs
            line = x[(..., slice(1), *(slice(None),) * (-1 - axis))]
            return [xp.full_like(line, value)] * n
        shape = list(x.shape)
        shape[axis] = n
        return [xp.full(tuple(shape), value, dtype=x.dtype, device=device(x))] if n else []

    return xp.concat([*border(before), x, *border(after)], axis=axis)
