"""A layer of one's own: images flipped and shifted at random, in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from array_api_compat import array_namespace, device

from xpnet.functional import random_bits
from xpnet.layers import RandomLayer


class FlipAndShift(RandomLayer):
    """Mirrors every other image, at random, and moves each by a few pixels; zeros move in.

    Parameters
    ----------
    shift : int
        The most pixels to move by, up or down, left or right.
    flip : bool
        Whether to mirror left and right.
    seed : int or sequence of int
        The same seed gives the same moves. A sequence has one for each network of a stack.
    """

    def __init__(
        self, shift: int = 2, *, flip: bool = True, seed: int | Sequence[int] = 0
    ) -> None:
        super().__init__(seed)
        if type(shift) is not int or shift < 0:
            raise ValueError(f"FlipAndShift wants shift to be an integer from 0; got {shift!r}")
        self.shift, self.flip = shift, flip
        self._moves: tuple[int, Any, Any, Any] | None = None

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        """Move images `(N, C, H, W)`, or a stack's `(…, N, C, H, W)`; at inference, leave them alone."""
        self.check_input(x)
        self._moves = None
        if not train_flg:
            return x
        xp = array_namespace(x)
        rows = x.shape[-4]
        bits = random_bits(self.next_counter(x), self.stream, (3, self.batch_rows or rows))
        bits = bits[..., self.first_row:self.first_row + rows]  # where several ranks share a batch
        bits = bits[(None,) * (x.ndim - bits.ndim - 2) + (...,)]  # for networks that share a seed
        width = 2 * self.shift + 1
        down, right = (bits[..., k, :] % width - self.shift for k in (0, 1))
        mirrored = (bits[..., 2, :] & int(self.flip)) == 1
        self._moves = x.ndim, down, right, mirrored
        return moved(xp, x, down, right, mirrored)

    def backward(self, dout: Any) -> Any:
        """Move the gradient back; where a stack shared the images, sum those of its networks."""
        if self._moves is None:
            return dout
        xp = array_namespace(dout)
        ndim, down, right, mirrored = self._moves
        # A mirrored image that is moved by as much and mirrored again is where it was.
        dx = moved(xp, dout, -down, xp.where(mirrored, right, -right), mirrored)
        shared = tuple(range(dx.ndim - ndim))
        return xp.sum(dx, axis=shared) if shared else dx


def moved(xp: Any, x: Any, down: Any, right: Any, mirrored: Any) -> Any:
    """Mirror some images `(…, N, C, H, W)`, and move each by its own number `(…, N)` of pixels."""
    x = x[(None,) * (down.ndim + 3 - x.ndim) + (...,)]  # for networks that share their images
    height, width = x.shape[-2:]
    rows, columns = (places - xp.astype(by, places.dtype)[..., None] for places, by in (
        (xp.arange(height, device=device(x)), down), (xp.arange(width, device=device(x)), right)))
    inside = ((rows >= 0) & (rows < height))[..., None, :, None] \
        & ((columns >= 0) & (columns < width))[..., None, None, :]
    columns = xp.where(mirrored[..., None], width - 1 - columns, columns)
    x = xp.take_along_axis(x, xp.clip(rows, 0, height - 1)[..., None, :, None], axis=-2)
    x = xp.take_along_axis(x, xp.clip(columns, 0, width - 1)[..., None, None, :], axis=-1)
    return xp.where(inside, x, 0)
