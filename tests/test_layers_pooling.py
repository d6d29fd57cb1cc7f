from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from autograd import gradients
from variants import Variant

from xpnet.layers import AveragePooling, GlobalAveragePooling, MaxPooling
from xpnet.testing import check_layer

x = np.random.default_rng(0).standard_normal((3, 2, 6, 5))


def torch_max(torch: Any, x: Any) -> Any:
    return torch.nn.functional.max_pool2d(x, (3, 2), 2, (1, 0))


def torch_average(torch: Any, x: Any) -> Any:
    return torch.nn.functional.avg_pool2d(x, (3, 2), 2, (1, 0))


def torch_global(torch: Any, x: Any) -> Any:
    return x.mean((-2, -1))


LAYERS = [(lambda: MaxPooling(3, 2, pad=(1, 0)), torch_max),
          (lambda: AveragePooling(3, 2, pad=(1, 0)), torch_average),
          (GlobalAveragePooling, torch_global)]


@pytest.mark.parametrize(("make", "f"), LAYERS)
def test_forward_and_backward_are_torchs(xp: Variant, make: Any, f: Any) -> None:
    torch = pytest.importorskip("torch")
    y = f(torch, torch.tensor(x)).numpy()
    dout = np.random.default_rng(1).standard_normal(y.shape)

    def both(x: Any, dout: Any) -> Any:
        layer = make().bind({})
        return layer.forward(x), layer.backward(dout)

    expected = y, gradients(f, dout, [x])[0]
    xp.check_all(xp.run(both, x, dout), expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("make", [make for make, _ in LAYERS])
def test_it_stands_every_check(make: Any) -> None:
    report = check_layer(make(), x)
    assert report, report


@pytest.mark.parametrize("make", [make for make, _ in LAYERS])
def test_stacks_need_no_word(make: Any) -> None:
    stack = np.stack([x, 2 * x, -x])
    layer = make()
    y = layer.forward(stack)
    dx = layer.backward(y)
    for k in range(3):
        own = make()
        np.testing.assert_allclose(y[k], own.forward(stack[k]), rtol=1e-14)
        np.testing.assert_allclose(dx[k], own.backward(y[k]), rtol=1e-14)


def test_a_backends_kernels_compute_what_is_not_stacked() -> None:
    calls = []

    def max_pooling(*arguments: Any, **keywords: Any) -> Any:
        calls.append((*arguments, keywords))
        return "y"

    def max_pooling_backward(*arguments: Any, **keywords: Any) -> Any:
        calls.append((*arguments, keywords))
        return "dx"

    kernels = {"max_pooling": max_pooling, "max_pooling_backward": max_pooling_backward}
    layer = MaxPooling(3, 2, (2, 1), 1).with_kernels(kernels)
    assert layer.forward(x) == "y"
    assert layer.backward("dout") == "dx"
    lie = {"stride": (2, 1), "pad": (1, 1)}
    assert calls == [(x, 3, 2, lie), ("dout", x, 3, 2, {**lie, "y": "y"})]
    y = layer.forward(x[None])
    assert y.shape == (1, 3, 2, 3, 6)
    assert layer.backward(y).shape == (1, *x.shape)
    assert len(calls) == 2


@pytest.mark.parametrize(("plain", "name"), [
    (AveragePooling(2, 2), "average_pooling"), (GlobalAveragePooling(), "global_average_pooling")])
def test_means_too(plain: Any, name: str) -> None:
    layer = plain.with_kernels({name: lambda *_, **__: "y", f"{name}_backward": lambda *_, **__: "dx"})
    assert layer.forward(x) == "y"
    assert layer.backward(x) == "dx"
    y = layer.forward(x[None])
    assert y.shape[:3] == (1, 3, 2)
    assert layer.backward(y).shape == (1, *x.shape)


@pytest.mark.parametrize(("layer", "name"), [
    (MaxPooling(7, 2), "MaxPooling"), (AveragePooling(7, 2), "AveragePooling"),
])
def test_windows_larger_than_the_images_name_the_layer(layer: Any, name: str) -> None:
    layer.name = f"{name}2"
    message = f"{name}2 has windows of 7x2, larger than images of 6x5 with 0 and 0 of padding"
    with pytest.raises(ValueError, match=re.escape(message)):
        layer.forward(x)
    assert layer.x is None


def test_arguments_that_cannot_be() -> None:
    for cls in (MaxPooling, AveragePooling):
        name = cls.__name__
        with pytest.raises(ValueError, match=f"{name} wants the window to be an integer from 1"):
            cls(0, 2)
        with pytest.raises(ValueError, match=f"{name} wants stride to be an integer from 1"):
            cls(2, 2, stride=0)
        with pytest.raises(ValueError, match=f"{name} wants pad of at most half its window of 2x2"):
            cls(2, 2, pad=2)


@pytest.mark.parametrize("make", [make for make, _ in LAYERS])
def test_backward_wants_a_forward(make: Any) -> None:
    with pytest.raises(RuntimeError, match=r"Pooling.backward wants a forward before it"):
        make().backward(x)
    with pytest.raises(ValueError, match=r"Pooling wants x of shape \(…, C, H, W\)"):
        make().forward(x[0, 0])
