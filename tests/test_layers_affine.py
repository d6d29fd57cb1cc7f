from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from autograd import gradients
from variants import Variant, installed

from xpnet import Affine


def normal(seed: int, *shapes: tuple[int, ...]) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


def forward_backward(x: Any, W: Any, b: Any, dout: Any) -> Any:
    layer = Affine(W, b).bind({})
    out = layer.forward(x)
    return out, layer.backward(dout), layer.dW, layer.db


@pytest.mark.parametrize("shape", [(5, 12), (5, 3, 4), (5, 3, 2, 2), (0, 3, 4), (1, 12)])
def test_inputs_of_more_dimensions_are_flattened_as_in_the_book(
    xp: Variant, shape: tuple[int, ...]
) -> None:
    x, W, b, dout = normal(0, shape, (12, 2), (2,), (shape[0], 2))
    out, dx, dW, db = xp.run(forward_backward, x, W, b, dout)
    rows = x.reshape(shape[0], 12)
    xp.check(out, rows @ W + b, rtol=1e-12)
    expected = gradients(lambda torch, x, W, b: x.reshape(shape[0], 12) @ W + b, dout, (x, W, b))
    xp.check_all((dx, dW, db), expected, rtol=1e-10, atol=1e-13)


def test_a_stack_equals_its_members(xp: Variant) -> None:
    W, b, dout = normal(1, (3, 4, 2), (3, 2), (3, 5, 2))
    for x in normal(2, (5, 4), (1, 5, 4), (3, 5, 4)):
        out, dx, dW, db = xp.run(forward_backward, x, W, b, dout)
        each = np.broadcast_to(x, (3, 5, 4))
        dxs = [dout[k] @ W[k].T for k in range(3)]
        xp.check(dx, sum(dxs) if x.ndim == 2 else np.stack(dxs), rtol=1e-12, atol=1e-14)
        for k in range(3):
            xp.check(out[k, ...], each[k] @ W[k] + b[k], rtol=1e-13)
            xp.check(dW[k, ...], each[k].T @ dout[k], rtol=1e-13, atol=1e-15)
            xp.check(db[k, ...], dout[k].sum(0), rtol=1e-13)


def test_an_image_before_a_row_leaves_no_trace(eager: Variant) -> None:
    layer = Affine(eager.asarray(np.ones((12, 2))), eager.asarray(np.zeros(2)))
    layer.forward(eager.asarray(np.ones((5, 3, 4))))
    layer.forward(eager.asarray(np.ones((5, 12))))
    eager.check(layer.backward(eager.asarray(np.ones((5, 2)))), np.full((5, 12), 2.0))


def test_a_stack_flattens_behind_its_axes(xp: Variant) -> None:
    W, b, dout = normal(3, (3, 12, 2), (3, 2), (3, 5, 2))
    (x,) = normal(4, (3, 5, 3, 4))
    out, dx, _, _ = xp.run(forward_backward, x, W, b, dout)
    for k in range(3):
        xp.check(out[k, ...], x[k].reshape(5, 12) @ W[k] + b[k], rtol=1e-12, atol=1e-14)
        xp.check(dx[k, ...], (dout[k] @ W[k].T).reshape(5, 3, 4), rtol=1e-12, atol=1e-14)


def test_the_arrays_given_are_the_layers_own(eager: Variant) -> None:
    W, b = eager.asarray(np.ones((4, 2))), eager.asarray(np.zeros(2))
    layer = Affine(W, b)
    assert layer.W is W
    assert layer.params["b"] is b
    assert list(layer.params) == ["W", "b"]
    layer.forward(eager.asarray(np.ones((5, 4))))
    layer.backward(eager.asarray(np.ones((5, 2))))
    assert list(layer.grads) == ["W", "b"]
    eager.check(layer.grads["W"], np.full((4, 2), 5.0))


@pytest.mark.parametrize("shape", [(100, 28, 27), (100, 783), (784,), ()])
def test_an_input_that_does_not_fit_names_the_layer(xp: Variant, shape: tuple[int, ...]) -> None:
    def forward(x: Any) -> Any:
        layer = Affine(xp.asarray(np.ones((784, 2))), xp.asarray(np.ones(2)))
        layer.name = "Affine1"
        return layer.bind({}).forward(x)

    message = f"Affine1 wants x of shape (N, 784) or (N, …) with 784 features; got {shape}"
    with pytest.raises(ValueError, match=re.escape(message)):
        xp.run(forward, np.ones(shape))


def test_parameters_that_do_not_fit(xp: Variant) -> None:
    for W, b in (((4, 2), (3,)), ((4,), (4,)), ((4, 2), ())):
        with pytest.raises(ValueError, match=r"Affine wants W of shape \(…, D, M\)"):
            xp.run(Affine, np.ones(W), np.ones(b))
    with pytest.raises(TypeError, match=r"one dtype; got .*float32 and .*float64"):
        xp.run(Affine, np.ones((4, 2), np.float32), np.ones(2))
    with pytest.raises(TypeError, match=r"Affine wants a real floating dtype; got .*int64"):
        xp.run(Affine, np.ones((4, 2), int), np.ones(2, int))


def test_stacks_that_do_not_fit(eager: Variant) -> None:
    W, b = eager.asarray(np.ones((2, 4, 5))), eager.asarray(np.ones((3, 5)))
    message = r"Affine wants parameters of one stack; got W \(2, 4, 5\) and b \(3, 5\)"
    with pytest.raises(ValueError, match=message):
        Affine(W, b)
    layer = Affine(W[0, ...], b)
    eager.check(layer.forward(eager.asarray(np.ones((3, 7, 4)))), np.full((3, 7, 5), 5.0))
    with pytest.raises(ValueError, match=r"wants x of shape \(N, 4\) or \(3, N, …\) .* got \(2, 7, 4\)"):
        layer.forward(eager.asarray(np.ones((2, 7, 4))))


def test_a_backends_kernels_compute_what_is_not_stacked() -> None:
    x, W, b = np.ones((5, 4)), np.ones((4, 2)), np.ones(2)
    layer = Affine(W, b).with_kernels({
        "affine": lambda *_: "y", "affine_backward": lambda *_, **__: ("dx", "dW", "db")})
    assert layer.forward(x) == "y"
    assert layer.backward(x) == "dx"
    assert layer.bind({"b": b[None]}).forward(x).shape == (1, 5, 2)


def test_backward_wants_a_forward(eager: Variant) -> None:
    layer = Affine(eager.asarray(np.ones((4, 2))), eager.asarray(np.ones(2)))
    with pytest.raises(RuntimeError, match=r"Affine.backward wants a forward before it"):
        layer.backward(eager.asarray(np.ones((5, 2))))


def test_bind_shares_what_it_is_not_given(eager: Variant) -> None:
    W, b = eager.asarray(np.ones((4, 2))), eager.asarray(np.zeros(2))
    layer = Affine(W, b)
    other = eager.asarray(np.full((4, 2), 2.0))
    bound = layer.bind({"W": other})
    assert bound.W is other
    assert bound.b is b
    assert layer.W is W


def test_bind_aligns_stacks(eager: Variant) -> None:
    layer = Affine(eager.asarray(np.ones((4, 2))), eager.asarray(np.zeros(2)))
    bound = layer.bind({"W": eager.asarray(np.ones((3, 4, 2)))})
    assert tuple(bound.b.shape) == (1, 2)
    with pytest.raises(ValueError, match=r'"W" is of shape \(4, 2\).*got \(3, 4, 1\)'):
        layer.bind({"W": eager.asarray(np.ones((3, 4, 1)))})
    with pytest.raises(KeyError, match="no parameter 'V'"):
        layer.bind({"V": eager.asarray(np.ones((4, 2)))})


@pytest.mark.skipif(not installed("torch"), reason="torch is not installed")
def test_arrays_on_an_autograd_tape_are_refused() -> None:
    import torch

    W, b = torch.ones(4, 2), torch.zeros(2)
    with pytest.raises(TypeError, match=r"Affine .* requires_grad=True: pass x.detach"):
        Affine(W.clone().requires_grad_(), b)
    with pytest.raises(TypeError, match=r"Affine .* requires_grad=True: pass x.detach"):
        Affine(W, b).forward(torch.ones(3, 4, requires_grad=True))


@pytest.mark.skipif(not installed("jax"), reason="jax is not installed")
def test_under_jit_a_plain_layer_says_bind() -> None:
    import jax

    layer = Affine(jax.numpy.ones((4, 2)), jax.numpy.zeros(2))
    with pytest.raises(TypeError, match=r"would leak: bind it first"):
        jax.jit(layer.forward)(jax.numpy.ones((3, 4)))
    assert layer.x is None
