from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from variants import Variant

from xpnet import SGD


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_step_of_sgd(xp: Variant, dtype: str) -> None:
    optimizer = SGD(lr=0.5)

    def step(W: Any, b: Any, dW: Any, db: Any) -> Any:
        params = {"W": W, "b": b}
        new, state = optimizer.update(params, {"W": dW, "b": db}, optimizer.init(params))
        assert list(new) == ["W", "b"]
        assert state == optimizer.init(params)
        return new["W"], new["b"]

    W, b, dW, db = (np.array(a, dtype) for a in ([[1.0, 2]], [3.0, 4], [[2.0, 2]], [1.0, -1]))
    # xp.run also sees that the parameters given were not changed.
    xp.check_all(xp.run(step, W, b, dW, db), ([[0.0, 1]], [2.5, 4.5]), dtype=dtype)


@pytest.mark.parametrize("lr", [0, -1, float("nan"), float("inf")])
def test_nonsense_learning_rates(lr: float) -> None:
    with pytest.raises(ValueError, match="learning rate lr above 0; got"):
        SGD(lr)
