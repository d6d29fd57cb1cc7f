from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from xpnet._numbers import real_number, whole_number, whole_numbers


def test_numpys_numbers_become_pythons() -> None:
    for value in (3, np.int64(3), np.uint8(3)):
        assert type(whole_number("X", "n", value)) is int
        assert type(real_number("X", "a", value)) is float
    assert type(real_number("X", "a", np.float32(0.5))) is float
    found = whole_numbers("X", "sizes", np.array([1, 28, 28]))
    assert (found, {type(n) for n in found}) == ([1, 28, 28], {int})
    assert whole_number("X", "n", 0, 0) == 0


@pytest.mark.parametrize("value", [0, -1, True, 1.0, "1", None, np.True_, np.float64(2)])
def test_what_is_no_whole_number(value: Any) -> None:
    with pytest.raises(ValueError) as caught:
        whole_number("X", "n", value)
    assert str(caught.value) == f"X wants n to be a whole number above 0; got {value!r}"
    with pytest.raises(ValueError, match="sizes to be a list of whole numbers above 0; got "):
        whole_numbers("X", "sizes", [2, value])
    with pytest.raises(ValueError, match="wants n to be a whole number from 3; got "):
        whole_number("X", "n", value, 3)


@pytest.mark.parametrize("values", [100, "100", None])
def test_what_is_no_list_of_whole_numbers(values: Any) -> None:
    with pytest.raises(ValueError, match=f"list of whole numbers above 0; got {values!r}"):
        whole_numbers("X", "sizes", values)


@pytest.mark.parametrize("value", [True, "0.1", None, 1j, np.ones(1)])
def test_what_is_no_real_number(value: Any) -> None:
    with pytest.raises(TypeError) as caught:
        real_number("X", "a", value)
    assert str(caught.value) == f"X wants a to be a number; got {value!r}"


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), np.float32("nan")])
def test_what_is_not_finite(value: Any) -> None:
    with pytest.raises(ValueError, match=f"X wants a to be finite; got {value}"):
        real_number("X", "a", value)
