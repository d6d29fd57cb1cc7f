from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from xpnet.initializers import affine_parameters, weight_std


def test_standard_deviations() -> None:
    assert weight_std(0.01, 784) == 0.01
    assert weight_std("he", 50) == weight_std("relu", 50) == 0.2
    assert weight_std("xavier", 25) == weight_std("sigmoid", 25) == 0.2
    for wrong in ("heh", -1, math.nan, math.inf):
        with pytest.raises(ValueError, match="weight_init_std wants a number from 0"):
            weight_std(wrong, 10)


def test_parameters_of_a_chain() -> None:
    params = affine_parameters([400, 300, 10], "he", seed=0)
    assert {k: v.shape for k, v in params.items()} == {
        "W1": (400, 300), "b1": (300,), "W2": (300, 10), "b2": (10,)}
    # The standard error of a standard deviation from n values is std / sqrt(2n).
    for name, fan_in in (("W1", 400), ("W2", 300)):
        std = math.sqrt(2 / fan_in)
        assert abs(params[name].std() - std) < 4 * std / math.sqrt(2 * params[name].size)
        assert abs(params[name].mean()) < 4 * std / math.sqrt(params[name].size)
    assert not params["b1"].any()


def test_one_seed_one_draw() -> None:
    a, b, c = (affine_parameters([4, 3], 0.01, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a["W1"], b["W1"])
    assert (a["W1"] != c["W1"]).all()
    assert (affine_parameters([4, 3], 0.01, None)["W1"] != a["W1"]).all()


def test_a_stack_is_its_seeds() -> None:
    stack = affine_parameters([4, 3, 2], 0.01, [5, 7])
    np.testing.assert_array_equal(
        stack["W1"], affine_parameters([4, 3, 2], 0.01, np.array([5, 7]))["W1"])
    for k, seed in enumerate((5, 7)):
        for name, p in affine_parameters([4, 3, 2], 0.01, seed).items():
            np.testing.assert_array_equal(stack[name][k], p)


def test_nonsense() -> None:
    wrong: list[Any] = [[0, 3], [4, -1], [4, 2.5], [True, 3]]
    for sizes in wrong:
        with pytest.raises(ValueError, match="whole numbers above 0; got"):
            affine_parameters(sizes, 0.01, 0)
    with pytest.raises(ValueError, match="a seed is a whole number from 0; got -1"):
        affine_parameters([4, 3], 0.01, -1)
    with pytest.raises(ValueError, match="a seed is a whole number from 0; got '12'"):
        affine_parameters([4, 3], 0.01, "12")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one seed"):
        affine_parameters([4, 3], 0.01, [])
