"""Random bits that are a function of a seed, a step and a place: the same on every library.

Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror & Shaw 2011, "Parallel Random Numbers: As Easy as
1, 2, 3"), which JAX has as its generator, too. Its words are unsigned; they are held here as int32,
whose sums wrap around in the same bits, since PyTorch has little of uint32 and JAX, as it comes, no
int64.
"""

from __future__ import annotations

import math

from xpnet.functional._array import Array, array_namespace, device

__all__ = ["random_bits", "signed"]

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_HALF = 0xFFFF


def signed(word: int) -> int:
    """Give the number of which an int32 has the bits that the last 32 of `word` are."""
    return (word + 2**31) % 2**32 - 2**31


def random_bits(
    counter: Array, stream: int, shape: tuple[int, ...], *, first: int = 0
) -> Array:
    """Draw uniform numbers of 16 bits, 0 to 65535.

    The generator is keyed with (seed, stream) and encrypts (step, 0), (step, 1), …: each such block
    gives two words, and these the low half of the first, its high half, and the same of the second.
    In this order the numbers fill `shape`, row by row. So the first numbers are the same for every
    shape, and a member of a stack draws what it would draw alone.

    Parameters
    ----------
    counter : array
        The seed and the step, int32 `(2,)`; or those of each network of a stack, `(…, 2)`.
    stream : int
        Of those that share a seed, each takes another: the number of a layer, say.
    shape : tuple of int
        Of the numbers; for each network of a stack.
    first : int
        How many numbers to leave out in front: whoever has a part of a batch draws that of the whole's.

    Returns
    -------
    array
        int32, `(…, *shape)`.

    Raises
    ------
    TypeError, ValueError
        If `counter` is not such an array.
    """
    xp = array_namespace(counter)
    if counter.dtype != xp.int32:
        raise TypeError(f"random_bits wants a counter of int32; got {counter.dtype}")
    if counter.ndim < 1 or counter.shape[-1] != 2:
        raise ValueError("random_bits wants a counter of shape (…, 2), seed and step; "
                         f"got {tuple(counter.shape)}")
    size = math.prod(shape)
    begin, left_out = divmod(first, 4)
    blocks = xp.arange(begin, -(-(first + size) // 4), dtype=xp.int32, device=device(counter))
    # Axes of length 1 stay: NumPy warns where a scalar, though not where an array, overflows.
    seed, step = counter[..., :1], counter[..., 1:]
    words = _threefry(seed, xp.full_like(seed, signed(stream)), step, blocks)
    halves = xp.stack([h for w in words for h in (w & _HALF, (w >> 16) & _HALF)], axis=-1)
    numbers = xp.reshape(halves, (*counter.shape[:-1], 4 * blocks.shape[0]))
    return xp.reshape(numbers[..., left_out:left_out + size], (*counter.shape[:-1], *shape))


def _threefry(k0: Array, k1: Array, x0: Array, x1: Array) -> tuple[Array, Array]:
    """Encrypt the words `(x0, x1)`: 20 rounds, and a part of the key after every fourth."""
    keys = (k0, k1, k0 ^ k1 ^ _PARITY)
    x0, x1 = x0 + k0, x1 + k1
    for turn in range(5):
        for bits in _ROTATIONS[turn % 2]:
            x0 = x0 + x1
            x1 = _rotated(x1, bits) ^ x0
        x0 = x0 + keys[(turn + 1) % 3]
        x1 = x1 + (keys[(turn + 2) % 3] + (turn + 1))
    return x0, x1


def _rotated(x: Array, bits: int) -> Array:
    """Rotate to the left; `>>` brings copies of the sign, which the mask takes away."""
    return (x << bits) | ((x >> (32 - bits)) & (2**bits - 1))
