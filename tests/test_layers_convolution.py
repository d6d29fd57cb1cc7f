from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from autograd import gradients
from variants import Variant, installed

from xpnet.layers import Convolution
from xpnet.testing import check_gradients, check_layer


def normal(seed: int, *shapes: tuple[int, ...]) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


def forward_backward(x: Any, W: Any, b: Any, dout: Any) -> Any:
    layer = Convolution(W, b, stride=(2, 1), pad=(1, 0)).bind({})
    out = layer.forward(x)
    return out, layer.backward(dout), layer.dW, layer.db


def torch_convolution(torch: Any, x: Any, W: Any, b: Any) -> Any:
    return torch.nn.functional.conv2d(x, W, b, (2, 1), (1, 0))


def test_forward_and_backward(xp: Variant) -> None:
    torch = pytest.importorskip("torch")
    x, W, b, dout = normal(0, (2, 3, 5, 4), (2, 3, 3, 2), (2,), (2, 2, 3, 3))
    out, *found = xp.run(forward_backward, x, W, b, dout)
    xp.check(out, torch_convolution(torch, *map(torch.tensor, (x, W, b))).numpy(), rtol=1e-12)
    xp.check_all(found, gradients(torch_convolution, dout, (x, W, b)), rtol=1e-10, atol=1e-13)


def test_a_stack_equals_its_members() -> None:
    W, b, dout = normal(1, (3, 2, 2, 3, 2), (3, 2), (3, 4, 2, 3, 3))
    for x in normal(2, (4, 2, 5, 4), (1, 4, 2, 5, 4), (3, 4, 2, 5, 4)):
        out, dx, dW, db = forward_backward(x, W, b, dout)
        each = np.broadcast_to(x, (3, 4, 2, 5, 4))
        own = [forward_backward(each[k], W[k], b[k], dout[k]) for k in range(3)]
        dxs = np.stack([d for _, d, _, _ in own])
        np.testing.assert_allclose(dx, dxs.sum(0) if x.ndim == 4 else dxs, rtol=1e-11, atol=1e-13)
        for k in range(3):
            for actual, expected in zip((out, dW, db), (own[k][0], *own[k][2:]), strict=True):
                np.testing.assert_allclose(actual[k], expected, rtol=1e-12, atol=1e-14)


def test_one_network_of_a_stack_takes_images_for_several() -> None:
    W, b, x = normal(5, (1, 2, 2, 3, 2), (1, 2), (3, 4, 2, 5, 4))
    out = Convolution(W, b).forward(x)
    for k in range(3):
        np.testing.assert_allclose(out[k], Convolution(W[0], b[0]).forward(x[k]), rtol=1e-13)


def test_it_stands_every_check() -> None:
    x, W, b = normal(3, (3, 2, 5, 4), (3, 2, 2, 3), (3,))
    layer = Convolution(W, b, stride=1, pad=1)
    report = check_layer(layer, x)
    assert report, report
    assert check_gradients(layer, x)


def test_structured_checks_see_every_element() -> None:
    x, W, b = normal(3, (3, 2, 5, 4), (3, 2, 2, 3), (3,))
    layer = Convolution(W, b, (1, 2), 1)
    report = check_gradients(layer, x, mode="structured")
    assert report, report
    assert not re.search(r"\b[Wb] was checked element by element", str(report))

    # Any part of them is the derivative that it says.
    out = layer.forward(x)
    for name, p in (("W", W), ("b", b)):
        for lo, hi in ((0, 1), (1, 3), (2, p.size)):
            rows = layer.tangents(name, lo, hi)
            assert rows.shape == (hi - lo, *out.shape)
            for k in range(lo, hi):
                moved = p.copy()
                moved.flat[k] += 1
                np.testing.assert_allclose(rows[k - lo], layer.bind({name: moved}).forward(x) - out,
                                           atol=1e-12)


def test_a_backends_kernels_compute_what_is_not_stacked() -> None:
    x, W, b, dout = normal(4, (2, 1, 3, 3), (1, 1, 2, 2), (1,), (2, 1, 2, 2))
    calls = []

    def convolution(*arrays: Any, **keywords: Any) -> Any:
        calls.append(("forward", *arrays, keywords))
        return "the output"

    def convolution_backward(*arrays: Any, **keywords: Any) -> Any:
        calls.append(("backward", *arrays, keywords))
        return "dx", "dW", "db"

    kernels = {"convolution": convolution, "convolution_backward": convolution_backward}
    layer = Convolution(W, b, 1, (1, 0)).with_kernels(kernels)
    assert layer.forward(x) == "the output"
    assert layer.backward(dout) == "dx"
    assert (layer.dW, layer.db) == ("dW", "db")
    keywords = {"stride": (1, 1), "pad": (1, 0)}
    assert calls == [("forward", x, W, b, keywords),
                     ("backward", dout, x, W, b, {**keywords, "with_dx": True})]

    for stacked in (layer.bind({"W": W[None]}), layer.bind({"b": b[None]})):
        assert stacked.forward(x).shape == (1, 2, 1, 4, 2)
        stacked.backward(np.ones((1, 2, 1, 4, 2)))
        assert stacked.dW.shape == (1, 1, 1, 2, 2)
    biases = Convolution(W, np.ones((3, 1)), 1, (1, 0)).with_kernels(kernels)
    for images in (x, np.stack([x, x, x])):
        assert biases.forward(images).shape == (3, 2, 1, 4, 2)
    with pytest.raises(ValueError, match=r"or \(3, N, 1, H, W\); got \(2, 2, 1, 3, 3\)"):
        biases.forward(np.ones((2, 2, 1, 3, 3)))
    stacked = layer.bind({"W": W, "b": b})
    assert stacked.forward(x) == "the output"
    assert len(calls) == 3


@pytest.mark.parametrize("shape", [(2, 2, 5, 5), (3, 5, 5), (4, 2, 3, 5, 5), ()])
def test_an_input_that_does_not_fit_names_the_layer(shape: tuple[int, ...]) -> None:
    layer = Convolution(np.ones((4, 3, 3, 3)), np.ones(4))
    layer.name = "Convolution2"
    message = f"Convolution2 wants x of shape (N, 3, H, W); got {shape}"
    with pytest.raises(ValueError, match=re.escape(message)):
        layer.forward(np.ones(shape))
    assert layer.x is None


@pytest.mark.parametrize("shape", [(4, 2, 3, 5, 5), (2, 5, 2, 3, 5, 5), (5, 2, 2, 5, 5)])
def test_a_stack_says_what_it_wants(shape: tuple[int, ...]) -> None:
    layer = Convolution(np.ones((5, 4, 3, 3, 3)), np.ones((5, 4)))
    message = ("Convolution wants x of shape (N, 3, H, W) or (5, N, 3, H, W); "
               f"got {shape}")
    with pytest.raises(ValueError, match=re.escape(message)):
        layer.forward(np.ones(shape))


def test_filters_larger_than_the_images_name_the_layer() -> None:
    layer = Convolution(np.ones((4, 3, 3, 7)), np.ones(4), pad=1)
    layer.name = "Convolution2"
    with pytest.raises(ValueError, match=r"^Convolution2 has windows of 3x7, larger than images of 5x4"):
        layer.forward(np.ones((2, 3, 5, 4)))


def test_dtypes_that_differ_name_the_layer() -> None:
    layer = Convolution(np.ones((4, 3, 3, 3)), np.ones(4))
    with pytest.raises(TypeError, match=r"^Convolution wants x, W, b and dout of one dtype; got float32"):
        layer.forward(np.ones((2, 3, 5, 5), np.float32))


def test_arguments_that_do_not_fit() -> None:
    for W, b in (((4, 3, 3, 3), (3,)), ((4, 3, 3), (4,)), ((4, 3, 3, 3), ())):
        with pytest.raises(ValueError, match=r"Convolution wants W of shape \(…, FN, C, FH, FW\)"):
            Convolution(np.ones(W), np.ones(b))
    with pytest.raises(ValueError, match=r"one stack; got W \(2, 1, 1, 3, 3\) and b \(3, 1\)"):
        Convolution(np.ones((2, 1, 1, 3, 3)), np.ones((3, 1)))
    with pytest.raises(TypeError, match=r"one dtype; got float32 and float64"):
        Convolution(np.ones((4, 3, 3, 3), np.float32), np.ones(4))
    with pytest.raises(TypeError, match=r"Convolution wants a real floating dtype; got int64"):
        Convolution(np.ones((4, 3, 3, 3), int), np.ones(4, int))
    with pytest.raises(ValueError, match=r"Convolution wants stride to be an integer from 1"):
        Convolution(np.ones((4, 3, 3, 3)), np.ones(4), stride=0)
    with pytest.raises(ValueError, match=r"Convolution wants pad to be an integer from 0"):
        Convolution(np.ones((4, 3, 3, 3)), np.ones(4), pad=-1)


def test_the_arrays_given_are_the_layers_own() -> None:
    W, b = np.ones((4, 3, 3, 3)), np.ones(4)
    layer = Convolution(W, b)
    assert layer.params["W"] is W
    assert layer.params["b"] is b
    with pytest.raises(RuntimeError, match=r"Convolution.backward wants a forward before it"):
        layer.backward(np.ones((2, 4, 3, 3)))


@pytest.mark.skipif(not installed("torch"), reason="torch is not installed")
def test_arrays_on_an_autograd_tape_are_refused() -> None:
    import torch

    W, b = torch.ones(4, 3, 3, 3), torch.zeros(4)
    with pytest.raises(TypeError, match=r"Convolution .* requires_grad=True: pass x.detach"):
        Convolution(W.clone().requires_grad_(), b)
    with pytest.raises(TypeError, match=r"Convolution .* requires_grad=True: pass x.detach"):
        Convolution(W, b).forward(torch.ones(2, 3, 5, 5, requires_grad=True))
