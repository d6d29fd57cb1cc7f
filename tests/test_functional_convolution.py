from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from autograd import gradients
from variants import Variant, installed

from xpnet.functional import convolution, convolution_backward

CASES = [  # N, C, H, W, FN, FH, FW, stride, pad
    (2, 3, 5, 6, 4, 3, 2, 1, 0),
    (2, 2, 7, 6, 3, 3, 3, 2, 1),  # rows and columns left over
    (1, 1, 6, 9, 2, 2, 3, (3, 2), (1, 2)),
    (2, 2, 3, 3, 2, 1, 1, 5, 0),  # windows further apart than the image is wide
    (2, 1, 2, 3, 1, 4, 5, 1, 2),  # filters larger than the image, but not than the padded one
]


def normal(seed: int, *shapes: tuple[int, ...]) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


def torch_convolution(stride: Any = 1, pad: Any = 0) -> Any:
    return lambda torch, x, W, b: torch.nn.functional.conv2d(x, W, b, stride=stride, padding=pad)


def test_the_books_example(xp: Variant) -> None:
    # Figure 7-5; and the corners of figure 7-6, with padding of 1, by a stride of 3.
    x = np.array([[1.0, 2, 3, 0], [0, 1, 2, 3], [3, 0, 1, 2], [2, 3, 0, 1]])[None, None]
    W = np.array([[2.0, 0, 1], [0, 1, 2], [1, 0, 2]])[None, None]
    xp.check(xp.run(convolution, x, W, np.array([3.0])), [[[[18.0, 19], [9, 18]]]])

    def padded(x: Any, W: Any, b: Any) -> Any:
        return convolution(x, W, b, stride=3, pad=1)

    xp.check(xp.run(padded, x, W, np.array([0.0])), [[[[7.0, 2], [8, 3]]]])


def chosen(xp: Variant, cases: list[Any]) -> list[Any]:
    """Give all cases, but one or two to JAX, which compiles for every shape."""
    return {"jax": cases[1:2], "jax-jit": cases[:2]}.get(xp.id, cases)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_autograds_values_and_gradients(xp: Variant, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    for N, C, H, Wd, FN, FH, FW, stride, pad in chosen(xp, CASES):
        x, W, b = (a.astype(dtype) for a in normal(0, (N, C, H, Wd), (FN, C, FH, FW), (FN,)))
        f = torch_convolution(stride, pad)
        expected = f(torch, *(torch.tensor(a, dtype=torch.float64) for a in (x, W, b))).numpy()
        (dout,) = (a.astype(dtype) for a in normal(1, expected.shape))

        def both(dout: Any, x: Any, W: Any, b: Any, stride: Any = stride, pad: Any = pad) -> Any:
            return (convolution(x, W, b, stride=stride, pad=pad),
                    *convolution_backward(dout, x, W, b, stride=stride, pad=pad))

        rtol, atol = (1e-10, 1e-12) if dtype == "float64" else (1e-4, 1e-5)
        xp.check_all(xp.run(both, dout, x, W, b), (expected, *gradients(f, dout, (x, W, b))),
                     dtype=dtype, rtol=rtol, atol=atol)


def test_without_dx_the_others_are_the_same(xp: Variant) -> None:
    dout, x, W, b = normal(0, (2, 4, 5, 5), (2, 3, 5, 5), (4, 3, 3, 3), (4,))

    def both(*arrays: Any) -> Any:
        dx, dW, db = convolution_backward(*arrays, pad=1, with_dx=False)
        assert dx is None
        return dW, db

    expected = convolution_backward(dout, x, W, b, pad=1)
    xp.check_all(xp.run(both, dout, x, W, b), expected[1:], rtol=1e-12)


STACKS = [  # stack axes of x, W, b and the output
    ((), (3,), (3,), (3,)),
    ((2, 1), (3,), (2, 3), (2, 3)),
    ((3,), (3,), (3,), (3,)),
    ((), (), (3,), (3,)),
    ((3,), (), (), (3,)),
]


def test_stacks_equal_their_members(xp: Variant) -> None:
    for stacks in chosen(xp, STACKS):
        check_stack(xp, *stacks)


def check_stack(
    xp: Variant, sx: tuple[int, ...], sW: tuple[int, ...], sb: tuple[int, ...], so: tuple[int, ...]
) -> None:
    shapes = ((2, 2, 4, 5), (3, 2, 2, 3), (3,))
    x, W, b, dout = normal(0, *((*s, *shape) for s, shape in zip((sx, sW, sb), shapes, strict=True)),
                           (*so, 2, 3, 3, 3))

    def both(dout: Any, x: Any, W: Any, b: Any) -> Any:
        return convolution(x, W, b), *convolution_backward(dout, x, W, b)

    def member(a: Any, shape: tuple[int, ...], index: tuple[int, ...]) -> Any:
        return np.broadcast_to(a, (*so, *shape))[index]

    out, dx, dW, db = xp.run(both, dout, x, W, b)
    f = torch_convolution()
    torch = pytest.importorskip("torch")
    expected, sums = np.zeros((*so, 2, 3, 3, 3)), [np.zeros((*so, *shape)) for shape in shapes]
    for index in np.ndindex(so):
        own = [member(a, shape, index) for a, shape in zip((x, W, b), shapes, strict=True)]
        expected[index] = f(torch, *(torch.tensor(a) for a in own)).numpy()
        for total, gradient in zip(sums, gradients(f, dout[index], own), strict=True):
            total[index] = gradient
    xp.check(out, expected, rtol=1e-10, atol=1e-12)
    for actual, total, stack in zip((dx, dW, db), sums, (sx, sW, sb), strict=True):
        one_each = actual is dx and stack == (2, 1)  # there a stack axis of 1 asks for one a network
        gone = () if one_each else tuple(range(len(so) - len(stack)))
        short = () if one_each else tuple(k for k, n in enumerate(stack) if n == 1)
        total = total.sum(axis=short, keepdims=True).sum(axis=gone)
        xp.check(actual, total, rtol=1e-10, atol=1e-12)


def test_an_empty_batch(xp: Variant) -> None:
    x, W, b = np.zeros((0, 2, 4, 4)), np.ones((3, 2, 3, 3)), np.ones(3)
    xp.check(xp.run(convolution, x, W, b), np.zeros((0, 3, 2, 2)))
    xp.check_all(xp.run(convolution_backward, np.zeros((0, 3, 2, 2)), x, W, b),
                 (x, np.zeros((3, 2, 3, 3)), np.zeros(3)))


def test_half_precision_counts_beyond_2048() -> None:
    shapes: list[tuple[int, ...]] = [(3000, 2, 1, 1), (3000, 1, 1, 1), (2, 1, 1, 1), (2,)]
    _, dW, db = convolution_backward(*(np.ones(shape, "float16") for shape in shapes))
    assert dW.dtype == db.dtype == np.float16
    np.testing.assert_array_equal((dW[:, 0, 0, 0], db), np.full((2, 2), 3000))


REFUSED: list[tuple[tuple[tuple[int, ...], ...], dict[str, Any], str]] = [
    (((2, 3, 5, 5), (4, 2, 3, 3), (4,)), {}, r"wants x of shape .* got x \(2, 3, 5, 5\), W \(4, 2"),
    (((2, 3, 5, 5), (4, 3, 3, 3), (3,)), {}, r"wants x of shape .* and b \(…, FN\); .* b \(3,\)"),
    (((3, 5, 5), (4, 3, 3, 3), (4,)), {}, "wants x of shape"),
    (((2, 3, 5, 5), (3, 3, 3), (3,)), {}, "wants x of shape"),
    (((2, 3, 5, 5), (4, 3, 3, 3), ()), {}, "wants x of shape"),
    (((2, 2, 3, 5, 5), (3, 4, 3, 3, 3), (4,)), {},
     r"wants stacks that .* got x \(2, 2, 3, 5, 5\), W \(3, 4, 3, 3, 3\), b \(4,\)"),
    (((2, 2, 3, 5, 5), (4, 3, 3, 3), (3, 4)), {}, "wants stacks that broadcast"),
    (((2, 3, 5, 5), (4, 3, 0, 3), (4,)), {}, "wants windows of at least 1x1; got 0x3"),
    (((2, 3, 5, 5), (4, 3, 6, 3), (4,)), {},
     r"windows of 6x3, larger than images of 5x5 with 0 and 0 of padding; .* \(2, 3, 5, 5\)"),
    (((2, 3, 5, 5), (4, 3, 3, 8), (4,)), {"pad": 1}, "windows of 3x8, larger than images of 5x5"),
    (((2, 3, 5, 5), (4, 3, 3, 3), (4,)), {"stride": 0}, "wants stride to be an integer from 1"),
    (((2, 3, 5, 5), (4, 3, 3, 3), (4,)), {"stride": (1, 2, 3)}, r"wants stride .* got \(1, 2, 3\)"),
    (((2, 3, 5, 5), (4, 3, 3, 3), (4,)), {"pad": -1}, "wants pad to be an integer from 0"),
    (((2, 3, 5, 5), (4, 3, 3, 3), (4,)), {"pad": (0, 0.5)}, r"wants pad .* got \(0, 0\.5\)"),
]


@pytest.mark.parametrize(("shapes", "keywords", "message"), REFUSED)
def test_what_cannot_be(shapes: Any, keywords: dict[str, Any], message: str) -> None:
    x, W, b = map(np.ones, shapes)
    with pytest.raises(ValueError, match=f"^convolution (has )?{message}"):
        convolution(x, W, b, **keywords)
    with pytest.raises(ValueError, match=f"^convolution_backward (has )?{message}"):
        convolution_backward(x, x, W, b, **keywords)


def test_a_dout_that_does_not_fit() -> None:
    x, W, b = map(np.ones, ((2, 3, 5, 5), (4, 3, 3, 3), (4,)))
    for shape in ((2, 4, 3, 2), (1, 4, 3, 3), (2, 4, 9), (5, 2, 4, 3, 3)):
        message = f"convolution_backward wants dout of shape (2, 4, 3, 3); got {shape}"
        with pytest.raises(ValueError, match=re.escape(message)):
            convolution_backward(np.ones(shape), x, W, b)
    # A layer of one network, behind which there are five: one stack axis, of length 1.
    dout = np.ones((5, 2, 4, 3, 3))
    dx, dW, _ = convolution_backward(dout, x[None], W[None], b[None])
    assert dx.shape == (5, 2, 3, 5, 5)
    assert dW.shape == (1, 4, 3, 3, 3)
    with pytest.raises(ValueError, match=r"wants dout of shape \(3, 2, 4, 3, 3\); got \(5, 2"):
        convolution_backward(dout, x, np.ones((3, 4, 3, 3, 3)), b)


def test_dtypes_that_differ(eager: Variant) -> None:
    x, W, b = (eager.asarray(np.ones(shape)) for shape in ((2, 3, 5, 5), (4, 3, 3, 3), (4,)))
    with pytest.raises(TypeError, match=r"one dtype; got .*float32.*float64.*float64"):
        convolution(eager.asarray(np.ones((2, 3, 5, 5), np.float32)), W, b)
    with pytest.raises(TypeError, match=r"one dtype; got .*float64.*float32"):
        convolution_backward(eager.asarray(np.ones((2, 4, 3, 3), np.float32)), x, W, b)


@pytest.mark.skipif(not installed("torch"), reason="torch is not installed")
def test_tensors_with_requires_grad_pass() -> None:
    import torch

    W = torch.ones(4, 3, 2, 2, requires_grad=True)
    convolution(torch.ones(2, 3, 3, 3), W, torch.zeros(4)).sum().backward()
    assert W.grad is not None
    assert float(W.grad.sum()) == 2 * 4 * (4 * 3 * 2 * 2)
