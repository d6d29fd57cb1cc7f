from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from variants import Variant

from xpnet.layers import Flatten
from xpnet.testing import check_layer


@pytest.mark.parametrize(("shape", "ndim", "flat"), [
    ((2, 3, 4, 5), 3, (2, 60)), ((6, 2, 3, 4, 5), 3, (6, 2, 60)), ((0, 3, 4, 5), 3, (0, 60)),
    ((2, 3, 4), 1, (2, 3, 4)), ((2, 3, 4), 2, (2, 12)),
])
def test_there_and_back(
    xp: Variant, shape: tuple[int, ...], ndim: int, flat: tuple[int, ...]
) -> None:
    def both(x: Any) -> Any:
        layer = Flatten(ndim).bind({})
        y = layer.forward(x)
        return y, layer.backward(2 * y)

    x = np.random.default_rng(0).standard_normal(shape)
    xp.check_all(xp.run(both, x), (x.reshape(flat), 2 * x), rtol=0)


def test_images_are_the_default() -> None:
    report = check_layer(Flatten(), np.random.default_rng(0).standard_normal((3, 2, 3, 4)))
    assert report, report
    assert Flatten().forward(np.ones((3, 2, 3, 4))).shape == (3, 24)


def test_one_gradient_a_network() -> None:
    layer = Flatten()
    layer.stack_axes = 1
    layer.forward(np.ones((1, 2, 3, 4, 5)))
    assert layer.backward(np.ones((7, 2, 60))).shape == (7, 2, 3, 4, 5)


def test_what_cannot_be() -> None:
    layer = Flatten()
    with pytest.raises(RuntimeError, match=r"Flatten.backward wants a forward before it"):
        layer.backward(np.ones((2, 60)))
    layer.name = "Flatten1"
    with pytest.raises(ValueError, match=r"Flatten1 wants x of shape \(…, N, and 3 more\); got \(3, 4, 5\)"):
        layer.forward(np.ones((3, 4, 5)))
    layer.forward(np.ones((2, 3, 4, 5)))
    for shape in ((2, 59), (3, 60), (7, 2, 60), ()):
        message = f"Flatten1 wants dout of shape (2, 60); got {shape}"
        with pytest.raises(ValueError, match=re.escape(message)):
            layer.backward(np.ones(shape))
    for ndim in (0, 1.5, True):
        with pytest.raises(ValueError, match="Flatten wants ndim to be an integer from 1"):
            Flatten(ndim)  # type: ignore[arg-type]
