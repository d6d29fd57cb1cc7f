from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from variants import Variant, installed

from xpnet import Relu


def test_forward_and_backward(xp: Variant) -> None:
    def both(x: Any, dout: Any) -> Any:
        layer = Relu().bind({})
        return layer.forward(x), layer.backward(dout)

    x, dout = np.array([[1.0, -0.5], [0.0, 3.0]]), np.array([[5.0, 6], [7, 8]])
    # xp.run also sees that neither x nor dout was changed; the page this began from zeroed dout.
    xp.check_all(xp.run(both, x, dout), ([[1.0, 0], [0, 3]], [[5.0, 0], [0, 8]]))


def test_a_second_forward_leaves_the_first_ones_result(eager: Variant) -> None:
    layer = Relu()
    first = layer.forward(eager.asarray([1.0, -1.0]))
    layer.forward(eager.asarray([-1.0, 2.0]))
    eager.check(first, [1.0, 0])
    eager.check(layer.backward(eager.asarray([1.0, 1.0])), [0.0, 1])


def test_it_has_no_parameters(eager: Variant) -> None:
    layer = Relu()
    assert len(layer.params) == 0
    assert layer.grads == {}
    with pytest.raises(RuntimeError, match=r"Relu.backward wants a forward"):
        layer.backward(eager.asarray([1.0]))


@pytest.mark.skipif(not installed("jax"), reason="jax is not installed")
def test_under_jit_a_plain_layer_says_bind() -> None:
    import jax

    for transform in (jax.jit, jax.vmap, lambda f: jax.grad(lambda x: f(x).sum())):
        with pytest.raises(TypeError, match=r"Relu .* tracer .* bind it first"):
            transform(Relu().forward)(jax.numpy.ones(3))
