from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from autograd import gradients
from variants import Variant, installed

from xpnet.functional import affine, affine_backward


def torch_affine(torch: Any, x: Any, W: Any, b: Any) -> Any:
    return x @ W + b[..., None, :]


def normal(seed: int, *shapes: tuple[int, ...]) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


def test_without_dx_the_others_are_the_same(xp: Variant) -> None:
    rng = np.random.default_rng(0)
    dout, x, W, b = (rng.standard_normal(shape) for shape in ((5, 2), (5, 4), (4, 2), (2,)))

    def both(*arrays: Any) -> Any:
        dx, dW, db = affine_backward(*arrays, with_dx=False)
        assert dx is None
        return dW, db

    xp.check_all(xp.run(both, dout, x, W, b), (x.T @ dout, dout.sum(0)), rtol=1e-12)


def test_the_books_example(xp: Variant) -> None:
    # Chapter 5.6.2: X @ W + B, and the gradient of B as the sum over the rows.
    x, W, b = np.ones((2, 2)), np.array([[0.0, 0, 0], [10, 10, 10]]), np.array([1.0, 2, 3])
    xp.check(xp.run(affine, x, W, b), [[11.0, 12, 13], [11, 12, 13]])
    dout = np.array([[1.0, 2, 3], [4, 5, 6]])
    _, _, db = xp.run(affine_backward, dout, x, W, b)
    xp.check(db, [5.0, 7, 9])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(5))
def test_backward_is_autograds(xp: Variant, dtype: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, d, m = rng.integers(1, 8, 3)
    x, W, b, dout = (a.astype(dtype) for a in normal(seed, (n, d), (d, m), (m,), (n, m)))
    expected = gradients(torch_affine, dout, (x, W, b))
    rtol, atol = (1e-10, 1e-12) if dtype == "float64" else (1e-4, 1e-5)
    xp.check_all(xp.run(affine_backward, dout, x, W, b), expected, dtype=dtype, rtol=rtol,
                 atol=atol)


STACKS = [  # stack axes of x, W, b and the output
    ((), (3,), (3,), (3,)),
    ((3,), (3,), (3,), (3,)),
    ((), (3,), (), (3,)),
    ((), (), (3,), (3,)),
    ((), (3,), (1,), (3,)),
    ((), (1,), (3,), (3,)),
    ((3,), (), (), (3,)),
    ((2, 1), (3,), (2, 3), (2, 3)),
]


@pytest.mark.parametrize("stacks", STACKS)
def test_stacked_gradients_have_their_inputs_shapes(
    xp: Variant, stacks: tuple[tuple[int, ...], ...]
) -> None:
    sx, sW, sb, so = stacks
    x, W, b, dout = normal(0, (*sx, 5, 4), (*sW, 4, 2), (*sb, 2), (*so, 5, 2))
    xp.check(xp.run(affine, x, W, b), x @ W + b[..., None, :], rtol=1e-12)
    dx, dW, db = xp.run(affine_backward, dout, x, W, b)
    ex, eW, eb = gradients(torch_affine, dout, (x, W, b))
    if sx != (2, 1):  # there a stack axis of 1 asks for one gradient a network
        xp.check(dx, ex, rtol=1e-10, atol=1e-12)
    xp.check_all((dW, db), (eW, eb), rtol=1e-10, atol=1e-12)


def test_a_stack_equals_its_members(xp: Variant) -> None:
    x, W, b, dout = normal(1, (6, 4), (3, 4, 2), (3, 2), (3, 6, 2))
    out = xp.run(affine, x, W, b)
    dx, dW, db = xp.run(affine_backward, dout, x[None], W, b)
    for k in range(3):
        xp.check(out[k, ...], x @ W[k] + b[k], rtol=1e-14)
        xp.check(dx[k, ...], dout[k] @ W[k].T, rtol=1e-13)  # x[None]: one a network
        xp.check(dW[k, ...], x.T @ dout[k], rtol=1e-13)
        xp.check(db[k, ...], dout[k].sum(0), rtol=1e-13)
    summed, _, _ = xp.run(affine_backward, dout, x, W, b)
    xp.check(summed, sum(dout[k] @ W[k].T for k in range(3)), rtol=1e-13, atol=1e-14)


def test_an_empty_batch(xp: Variant) -> None:
    x, W, b, dout = np.zeros((0, 4)), np.ones((4, 2)), np.ones(2), np.zeros((0, 2))
    xp.check(xp.run(affine, x, W, b), np.zeros((0, 2)))
    xp.check_all(xp.run(affine_backward, dout, x, W, b),
                 (np.zeros((0, 4)), np.zeros((4, 2)), np.zeros(2)))


@pytest.mark.parametrize("stack", [(), (3000,)])
def test_half_precision_counts_beyond_2048(stack: tuple[int, ...]) -> None:
    rows = 1 if stack else 3000
    shapes: list[tuple[int, ...]] = [(*stack, rows, 2), (rows, 1), (1, 2), (2,)]
    _, _, db = affine_backward(*(np.ones(shape, "float16") for shape in shapes))
    assert db.dtype == np.float16
    np.testing.assert_array_equal(db, [3000, 3000])


def test_a_non_contiguous_input(eager: Variant) -> None:
    x, W, b = normal(2, (4, 6), (4, 2), (2,))
    xT = eager.asarray(x).mT
    eager.check(affine(xT, eager.asarray(W), eager.asarray(b)), x.T @ W + b, rtol=1e-13)


@pytest.mark.parametrize("shapes", [
    ((5, 3), (4, 2), (2,)), ((5, 4), (4, 2), (3,)), ((4,), (4, 2), (2,)), ((5, 4), (4,), (4,)),
    ((5, 4), (4, 2), ()),
])
def test_shapes_that_do_not_fit(xp: Variant, shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match=r"affine wants x of shape .* got x \("):
        xp.run(affine, *(np.ones(shape) for shape in shapes))


def test_dtypes_that_differ(xp: Variant) -> None:
    with pytest.raises(TypeError, match=r"one dtype; got .*float32.*float64"):
        xp.run(affine, np.ones((5, 4), np.float32), np.ones((4, 2)), np.ones(2))


@pytest.mark.skipif(not installed("torch"), reason="torch is not installed")
def test_tensors_with_requires_grad_pass() -> None:
    import torch

    W = torch.ones(4, 2, requires_grad=True)
    affine(torch.ones(5, 4), W, torch.zeros(2)).sum().backward()
    assert W.grad is not None
    assert float(W.grad.sum()) == 5 * 4 * 2
