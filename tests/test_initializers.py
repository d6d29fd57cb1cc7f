from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from variants import Variant

from xpnet.initializers import Initializer, weight_std


def test_standard_deviations() -> None:
    assert weight_std(0.01, 784) == 0.01
    assert weight_std("he", 50) == weight_std("relu", 50) == 0.2
    assert weight_std("xavier", 25) == weight_std("sigmoid", 25) == 0.2
    assert weight_std("glorot", 20, 30) == 0.2
    for wrong in ("heh", -1, math.nan, math.inf):
        with pytest.raises(ValueError, match="weight_init_std wants a number from 0"):
            weight_std(wrong, 10)
    with pytest.raises(ValueError, match='"glorot" wants fan_out, too; got fan_in 10 alone'):
        weight_std("glorot", 10)


@pytest.mark.parametrize("std", ["he", "glorot", 0.3])
def test_what_is_drawn(std: Any) -> None:
    draw = Initializer(std, seed=0)
    W, b = draw.affine(400, 300)
    F, c = draw.convolution(60, 20, 5, 4)
    gamma, beta = draw.normalization(7)
    assert (W.shape, b.shape, F.shape, c.shape) == ((400, 300), (300,), (60, 20, 5, 4), (60,))
    fans = {"W": (W, 400, 300), "F": (F, 20 * 20, 60 * 20)}
    for values, fan_in, fan_out in fans.values():
        expected = {"he": math.sqrt(2 / fan_in), "glorot": math.sqrt(2 / (fan_in + fan_out))}
        # The standard error of a standard deviation from n values is std / sqrt(2n).
        wanted = expected.get(std, 0.3)
        assert abs(values.std() - wanted) < 4 * wanted / math.sqrt(2 * values.size)
        assert abs(values.mean()) < 4 * wanted / math.sqrt(values.size)
    assert not b.any()
    assert not c.any()
    np.testing.assert_array_equal(gamma, np.ones(7))
    np.testing.assert_array_equal(beta, np.zeros(7))


def test_one_seed_one_draw_on_every_library(eager: Variant) -> None:
    for dtype in ("float32", "float64"):
        found = Initializer(seed=1, backend=eager.backend, dtype=dtype).affine(4, 3)
        eager.check_all(found, Initializer(seed=1).affine(4, 3), dtype=dtype, rtol=0)
    default = Initializer(seed=1, backend=eager.backend).affine(4, 3)[0]
    assert default.dtype == eager.backend.default_dtype
    drawn = [Initializer(seed=seed).affine(4, 3)[0] for seed in (1, 2, None)]
    assert all((a != b).all() for a, b in itertools.pairwise(drawn))


def test_a_stack_is_its_seeds() -> None:
    def drawn(seed: Any) -> list[Any]:
        draw = Initializer(seed=seed)
        return [*draw.affine(4, 3), *draw.convolution(2, 3, 2, 2), *draw.normalization(3)]

    for seeds in ([5, 7], (5, 7), np.array([5, 7]), range(5, 9, 2)):
        for k, seed in enumerate((5, 7)):
            for stacked, single in zip(drawn(seeds), drawn(seed), strict=True):
                np.testing.assert_array_equal(stacked[k], single)


def test_nonsense() -> None:
    draw: Any = Initializer(0.01, seed=0)
    for sizes in ((0, 3), (4, -1), (4, 2.5), (True, 3)):
        with pytest.raises(ValueError, match="whole numbers above 0; got"):
            draw.affine(*sizes)
    with pytest.raises(ValueError, match="whole numbers above 0; got 0"):
        draw.convolution(2, 3, 0, 2)
    with pytest.raises(ValueError, match="whole numbers above 0; got 0"):
        draw.normalization(0)
    for std in (None, "heh", -1):
        with pytest.raises(ValueError, match=r"weight_init_std wants a number from 0, .* got"):
            Initializer(std)  # type: ignore[arg-type]
    for seed in (-1, "12", True, 1.5):
        with pytest.raises(ValueError, match="a seed is a whole number from 0; got"):
            Initializer(0.01, seed=seed)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one seed"):
        Initializer(0.01, seed=[])
