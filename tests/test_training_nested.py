from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from variants import Variant

from xpnet.training.nested import flatten, place

A, B, C = np.arange(6.0).reshape(2, 3), np.asarray(1.5), np.asarray([1, 2], np.int32)


def test_flatten_joins_names() -> None:
    assert flatten({"params": {"W1": 1, "b1": 2}, "step": 3, "deep": {"er": {"still": 4}},
                    "state": {}}) == {
        "params/W1": 1, "params/b1": 2, "step": 3, "deep/er/still": 4,
    }


@pytest.mark.parametrize("arrays", [{"a/b": 1}, {"a": {"b/c": 1}}, {"/": {}}])
def test_flatten_refuses_the_sign_that_joins(arrays: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r'without "/"'):
        flatten(arrays)


def test_values_go_where_others_are(eager: Variant) -> None:
    like = {"x": {"A": eager.asarray(np.zeros((2, 3))), "none": {}},
            "B": eager.asarray(np.asarray(0.0)), "C": eager.asarray(np.zeros(2, np.int32))}
    placed = place({"x/A": A, "B": B, "C": C}, like, "the file")
    assert placed.keys() == like.keys()
    assert placed["x"].keys() == {"A", "none"}
    assert placed["x"]["none"] == {}
    for found, expected in ((placed["x"]["A"], A), (placed["B"], B), (placed["C"], C)):
        eager.check(found, expected, rtol=0)
    eager.check(like["B"], np.asarray(0.0), rtol=0)


@pytest.mark.parametrize(("tensors", "words"), [
    ({"C": C}, r'the file: "x/A" of shape \(2, 3\) and dtype float64 wanted; there is none'),
    ({"x/A": A.T, "C": C}, r'"x/A" of shape \(2, 3\) .* wanted; got \(3, 2\) and float64'),
    ({"x/A": A.astype(np.float32), "C": C}, r"float64 wanted; got \(2, 3\) and float32"),
    ({"x/A": A, "C": C.astype(np.int64)}, r'"C" .* int32 wanted; got \(2,\) and int64'),
    ({"x/A": A, "C": C[:, None]}, r'"C" of shape \(2,\) .* got \(2, 1\) and int32'),
    ({"x/A": A, "C": C, "x/B": B}, r'the file: "x/B" is not wanted; .*\(\) and dtype float64'),
])
def test_the_first_difference_is_named(eager: Variant, tensors: Any, words: str) -> None:
    like = {"x": {"A": eager.asarray(np.zeros_like(A))}, "C": eager.asarray(np.zeros_like(C))}
    with pytest.raises(ValueError, match=words):
        place(tensors, like, "the file")


def test_values_are_cast_where_that_is_wanted(eager: Variant) -> None:
    like = {"A": eager.asarray(np.zeros((2, 3), np.float32))}
    eager.check(place({"A": A}, like, "the file", cast=True)["A"], A.astype(np.float32), rtol=0)
    with pytest.raises(ValueError, match="shape"):
        place({"A": A.T}, like, "the file", cast=True)
