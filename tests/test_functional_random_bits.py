from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from variants import Variant, installed, make

from xpnet.functional import random_bits
from xpnet.functional.random_bits import _threefry, signed
from xpnet.testing._host import float64_switched

# Random123's kat_vectors, "threefry2x32 20": two words of the counter, two of the key, two drawn.
KNOWN = [
    "00000000 00000000 00000000 00000000 6b200159 99ba4efe",
    "ffffffff ffffffff ffffffff ffffffff 1cb996fc bb002be7",
    "243f6a88 85a308d3 13198a2e 03707344 c4923a9c 483df7a0",
]


def threefry(key: tuple[int, int], counter: tuple[int, int]) -> tuple[int, int]:
    """Compute Threefry-2x32 with 20 rounds as the paper has it, in whole numbers of any size."""
    rotations = [13, 15, 26, 6, 17, 29, 16, 24]
    keys = [*key, 0x1BD11BDA ^ key[0] ^ key[1]]
    x, y = (counter[0] + keys[0]) % 2**32, (counter[1] + keys[1]) % 2**32
    for i in range(20):
        r = rotations[i % 8]
        x = (x + y) % 2**32
        y = ((y << r) % 2**32 + y // 2 ** (32 - r)) ^ x
        if i % 4 == 3:
            s = (i + 1) // 4
            x = (x + keys[s % 3]) % 2**32
            y = (y + keys[(s + 1) % 3] + s) % 2**32
    return x, y


def expected(seed: int, step: int, stream: int, shape: tuple[int, ...]) -> NDArray[np.int32]:
    size, numbers = math.prod(shape), []
    for block in range(-(-size // 4)):
        words = threefry((seed % 2**32, stream % 2**32), (step % 2**32, block))
        numbers += [half for word in words for half in (word % 2**16, word // 2**16)]
    return np.array(numbers[:size], np.int32).reshape(shape)


def counters(*rows: tuple[int, int]) -> NDArray[np.int32]:
    return np.array([[signed(a), signed(b)] for a, b in rows], np.int32)


def test_known_answers(xp: Variant) -> None:
    words = [[int(word, 16) for word in known.split()] for known in KNOWN]
    for c0, c1, k0, k1, y0, y1 in words:
        assert threefry((k0, k1), (c0, c1)) == (y0, y1)  # nor is what this file compares with wrong
    *counter, key0, key1, first, second = (np.array([signed(w) for w in column], np.int32)
                                           for column in zip(*words, strict=True))
    xp.check_all(xp.run(_threefry, key0, key1, *counter), (first, second), rtol=0)


ROWS = [(0, 0), (2**32 - 1, 1), (12345, 2**31), (-7, 2**32 - 1)]


@pytest.mark.parametrize("stream", [2, 2**32 - 1])
def test_the_same_as_in_whole_numbers_of_any_size(xp: Variant, stream: int) -> None:
    out = xp.run(lambda c: random_bits(c, stream, (3, 5)), counters(*ROWS))
    xp.check(out, [expected(seed, step, stream, (3, 5)) for seed, step in ROWS], rtol=0)


def test_a_member_of_a_stack_draws_what_it_would_alone(xp: Variant) -> None:
    alone = xp.run(lambda c: random_bits(c, 1, (3, 5)), counters((3, 4))[0])
    xp.check(alone, expected(3, 4, 1, (3, 5)), rtol=0)


def test_stacks_and_shapes() -> None:
    stack = random_bits(counters(*ROWS).reshape(2, 2, 2), 2**31 - 1, (3, 5))
    assert stack.shape == (2, 2, 3, 5)
    np.testing.assert_array_equal(stack[1, 0], expected(12345, 2**31, 2**31 - 1, (3, 5)))
    for shape in ((), (1,), (8,)):
        np.testing.assert_array_equal(random_bits(counters((3, 4))[0], 0, shape),
                                      expected(3, 4, 0, shape))
    assert random_bits(counters((3, 4)), 0, (2, 0)).shape == (1, 2, 0)


def drawn(seed: int, step: int, stream: int, size: int = 2**16) -> NDArray[np.int32]:
    xp = make("numpy")
    return xp.run(lambda c: random_bits(c, stream, (size,)), counters((seed, step))[0])


def test_they_are_uniform() -> None:
    x = drawn(0, 0, 0)
    assert x.min() >= 0
    assert x.max() <= 65535
    # Of 2**16 numbers with a standard deviation of 2**16 / sqrt(12): within 4 deviations of the mean.
    assert abs(x.mean() - 32767.5) < 4 * 2**16 / math.sqrt(12) / 2**8
    for byte in (x % 256, x // 256):
        counts = np.bincount(byte, minlength=256)
        chi2 = ((counts - 256) ** 2 / 256).sum()
        assert abs(chi2 - 255) < 4 * math.sqrt(2 * 255)


def test_seed_step_and_stream_make_others() -> None:
    several = [drawn(*arguments) - 32767.5
               for arguments in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1))]
    several.append(np.roll(several[0], 1))
    for a, b in itertools.combinations(several, 2):  # a correlation of 65,536 pairs: 1/256 or so
        assert abs((a * b).sum() / math.sqrt((a * a).sum() * (b * b).sum())) < 4 / 256


def test_the_first_numbers_are_the_same_for_every_shape() -> None:
    np.testing.assert_array_equal(drawn(5, 6, 7, 1001)[:99], drawn(5, 6, 7, 99))


@pytest.mark.parametrize("first", [0, 1, 3, 4, 6, 401])
def test_a_part_is_that_of_the_whole(xp: Variant, first: int) -> None:
    counter = counters((5, 6), (7, 8))
    for shape in ((3, 5), (1,), (0, 2)):
        part = xp.run(lambda c, shape=shape: random_bits(c, 9, shape, first=first), counter)
        size = math.prod(shape)
        whole = np.stack([expected(*of, 9, (first + size,)) for of in ((5, 6), (7, 8))])
        xp.check(part, whole[:, first:].reshape(2, *shape), rtol=0)


@pytest.mark.skipif(not installed("jax"), reason="jax is not installed")
def test_jax_without_64_bits() -> None:
    import jax

    with float64_switched(make("jax").namespace, on=False):
        counter = jax.numpy.asarray(counters((2**32 - 1, 9))[0])
        out = jax.jit(lambda c: random_bits(c, 3, (3, 5)))(counter)
        np.testing.assert_array_equal(out, expected(-1, 9, 3, (3, 5)))


def test_a_counter_that_is_none(xp: Variant) -> None:
    with pytest.raises(TypeError, match=r"random_bits wants a counter of int32; got .*int64"):
        xp.run(lambda c: random_bits(c, 0, (2,)), np.array([0, 1], np.int64))
    for shape in ((), (3,), (2, 1)):
        with pytest.raises(ValueError, match=r"of shape \(…, 2\), seed and step; got \("):
            xp.run(lambda c: random_bits(c, 0, (2,)), np.zeros(shape, np.int32))


def test_signed() -> None:
    assert [signed(n) for n in (0, 2**31 - 1, 2**31, 2**32 - 1, 2**32, -1, -2**31)] == [
        0, 2**31 - 1, -2**31, -1, 0, -1, -2**31]
