"""What a project's own tests say of its layer: `pytest examples/another_project`."""

from __future__ import annotations

import numpy as np
from snake import Snake

from xpnet.testing import check_gradients, check_layer

rng = np.random.default_rng(0)
x = rng.standard_normal((5, 3))


def test_gradients() -> None:
    assert check_gradients(Snake(np.array([0.5, 1.0, 2.0])), x)


def test_the_layer_on_every_library_there_is() -> None:
    assert check_layer(Snake(np.array([0.5, 1.0, 2.0])), x)


def test_a_forgotten_term_is_found() -> None:
    class Wrong(Snake):
        def backward(self, dout: np.ndarray) -> np.ndarray:
            super().backward(dout)
            return dout * np.sin(2 * self.a * self.x)  # without the 1

    report = check_gradients(Wrong(np.ones(3)), x)
    assert not report
    assert report.verdict == "wrong"
