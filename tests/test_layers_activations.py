from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import elementwise
import numpy as np
import pytest
from autograd import gradients
from variants import Variant

from xpnet.layers import Gelu, Layer, LeakyRelu, Relu, Sigmoid, Silu, Tanh
from xpnet.testing import check_layer

LAYERS: dict[str, tuple[Callable[[], Layer], Callable[..., Any]]] = {
    "Gelu": (Gelu, lambda torch, x: torch.nn.functional.gelu(x, approximate="tanh")),
    "LeakyRelu": (LeakyRelu, lambda torch, x: torch.nn.functional.leaky_relu(x)),
    "LeakyRelu(0.25)": (lambda: LeakyRelu(0.25),
                        lambda torch, x: torch.nn.functional.leaky_relu(x, 0.25)),
    "Relu": (Relu, lambda torch, x: torch.relu(x)),
    "Sigmoid": (Sigmoid, lambda torch, x: torch.sigmoid(x)),
    "Silu": (Silu, lambda torch, x: torch.nn.functional.silu(x)),
    "Tanh": (Tanh, lambda torch, x: torch.tanh(x)),
}
every_layer = pytest.mark.parametrize("name", LAYERS)


@every_layer
def test_forward_and_backward_are_autograds(xp: Variant, name: str) -> None:
    torch = pytest.importorskip("torch")
    make_layer, torch_f = LAYERS[name]
    x = elementwise.POINTS
    dout = np.random.default_rng(0).standard_normal(x.shape)

    def both(x: Any, dout: Any) -> Any:
        layer = make_layer().bind({})
        layer.forward(0 * x - 1)  # of which nothing may stay
        return layer.forward(x), layer.backward(dout)

    y, dx = xp.run(both, x, dout)
    xp.check(y, torch_f(torch, torch.asarray(x)).numpy(), rtol=1e-10, atol=1e-14)
    xp.check(dx, gradients(torch_f, dout, [x])[0], rtol=1e-10, atol=1e-14)


def test_numpys_numbers_leave_the_dtype(eager: Variant) -> None:
    x, layer = eager.asarray(np.ones((2, 3), "float32")), LeakyRelu(np.float64(0.1))
    assert layer.forward(x).dtype == layer.backward(x).dtype == x.dtype
    for slope in ("a", math.nan, None):
        with pytest.raises((TypeError, ValueError), match=r"LeakyRelu wants negative_slope to be"):
            LeakyRelu(slope)  # type: ignore[arg-type]


@every_layer
def test_it_stands_the_checks_of_layers(name: str) -> None:
    x = np.random.default_rng(1).standard_normal((5, 4))
    report = check_layer(LAYERS[name][0](), x)
    assert report, str(report)


@every_layer
def test_backward_wants_a_forward(name: str) -> None:
    layer = LAYERS[name][0]()
    with pytest.raises(RuntimeError, match=rf"{layer.name}.backward wants a forward before it"):
        layer.backward(np.ones(3))


@every_layer
def test_a_gradient_of_another_batch_is_refused(eager: Variant, name: str) -> None:
    layer = LAYERS[name][0]()
    dout = eager.asarray(np.ones((7, 3, 4, 4)))
    layer.forward(dout[:1, ...])
    message = rf"{layer.name} wants dout of shape \(1, 3, 4, 4\); got \(7, 3, 4, 4\)"
    with pytest.raises(ValueError, match=message):
        layer.backward(dout)
    layer.stack_axes = 1  # in a stack, it may be one gradient for each network
    assert layer.backward(dout).shape == (7, 3, 4, 4)


@every_layer
def test_only_an_output_that_backward_uses_is_kept(name: str) -> None:
    x, layer = elementwise.POINTS, LAYERS[name][0]()
    y = layer.forward(x)
    assert any(a is y for a in vars(layer).values()) == (name in ("Sigmoid", "Tanh"))


@every_layer
def test_a_backend_may_put_its_own_functions_in_their_places(name: str) -> None:
    plain = LAYERS[name][0]()
    function = type(plain).__name__.lower().replace("leakyrelu", "leaky_relu")
    layer = plain.with_kernels({function: lambda *_: "y",
                                f"{function}_backward": lambda *_, **__: "dx"})
    assert layer.forward(np.ones(3)) == "y"
    assert layer.backward(np.ones(3)) == "dx"
