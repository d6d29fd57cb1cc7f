from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from autograd import gradients
from variants import Variant, make, params

from xpnet.functional import (
    average_pooling,
    average_pooling_backward,
    global_average_pooling,
    global_average_pooling_backward,
    max_pooling,
    max_pooling_backward,
)

CASES = [  # the shape of x, the window, stride, pad
    ((2, 3, 6, 4), (2, 2), 2, 0),
    ((2, 2, 7, 6), (3, 3), 2, 1),  # windows that overlap, and columns left over
    ((1, 2, 8, 5), (2, 3), (3, 1), (1, 0)),
    ((2, 2, 3, 5), (1, 1), 3, 0),
]


@pytest.fixture(params=params("numpy", "strict", "torch"))
def quick(request: pytest.FixtureRequest) -> Variant:
    """Those that need not compile for every shape."""
    return make(request.param)


def chosen(xp: Variant) -> list[Any]:
    """Give all cases, but one or two to JAX, which compiles for every shape."""
    return {"jax": CASES[1:2], "jax-jit": CASES[:2]}.get(xp.id, CASES)


def both(f: Any, backward: Any, window: Any, **keywords: Any) -> Any:
    return lambda dout, x: (f(x, *window, **keywords), backward(dout, x, *window, **keywords))


def images(seed: int, shape: tuple[int, ...], dtype: str) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def test_the_books_example(xp: Variant) -> None:
    # Figure 7-14.
    x = np.array([[1.0, 2, 1, 0], [0, 1, 2, 3], [3, 0, 1, 2], [2, 4, 0, 1]])[None, None]
    xp.check(xp.run(lambda x: max_pooling(x, 2, 2), x), [[[[2.0, 3], [4, 2]]]])
    dout = np.array([[10.0, 20], [30, 40]])[None, None]
    dx = xp.run(lambda dout, x: max_pooling_backward(dout, x, 2, 2), dout, x)
    xp.check(dx, [[[[0.0, 10, 0, 0], [0, 0, 0, 20], [0, 0, 0, 40], [0, 30, 0, 0]]]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_max_pooling_is_torchs(xp: Variant, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    for shape, window, stride, pad in chosen(xp):
        lie: dict[str, Any] = {"stride": stride, "pad": pad}

        def f(torch: Any, x: Any, args: Any = (window, stride, pad)) -> Any:
            return torch.nn.functional.max_pool2d(x, *args)

        def all_of_it(dout: Any, x: Any, window: Any = window, lie: Any = lie) -> Any:
            y = max_pooling(x, *window, **lie)
            return (y, max_pooling_backward(dout, x, *window, **lie),
                    max_pooling_backward(dout, x, *window, y=y, **lie))

        # A few different numbers, so that half of the windows have several that are the largest.
        x = np.random.default_rng(0).integers(-2, 2, shape).astype(dtype)
        y = f(torch, torch.tensor(x)).numpy()
        dout = images(1, y.shape, dtype)
        dx = gradients(f, dout, [x])[0]
        xp.check_all(xp.run(all_of_it, dout, x), (y, dx, dx), dtype=dtype, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_average_pooling_is_torchs(xp: Variant, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    for shape, window, stride, pad in chosen(xp):
        def f(torch: Any, x: Any, args: Any = (window, stride, pad)) -> Any:
            return torch.nn.functional.avg_pool2d(x, *args)

        x = images(0, shape, dtype)
        y = f(torch, torch.tensor(x, dtype=torch.float64)).numpy()
        dout = images(1, y.shape, dtype)
        pooled = both(average_pooling, average_pooling_backward, window, stride=stride, pad=pad)
        rtol, atol = (1e-10, 1e-13) if dtype == "float64" else (1e-5, 1e-6)
        xp.check_all(xp.run(pooled, dout, x), (y, gradients(f, dout, [x])[0]), dtype=dtype, rtol=rtol,
                     atol=atol)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (3, 2, 3, 1, 2), (0, 3, 4, 5)])
def test_global_average_pooling_is_the_mean(xp: Variant, shape: tuple[int, ...]) -> None:
    x, dout = images(0, shape, "float64"), images(1, shape[:-2], "float64")
    pooled = both(global_average_pooling, global_average_pooling_backward, ())
    y, dx = xp.run(pooled, dout, x)
    xp.check(y, x.mean(axis=(-2, -1)), rtol=1e-12)
    area = shape[-2] * shape[-1]
    xp.check(dx, np.broadcast_to(dout[..., None, None] / area, shape), rtol=1e-12)


def test_sixteen_bits_are_averaged_in_thirty_two() -> None:
    x = np.full((1, 1, 64, 64), 100, np.float16)  # their sum is beyond float16
    y = global_average_pooling(x)
    assert y.dtype == np.float16
    np.testing.assert_array_equal(y, [[100]])


def test_sixteen_bits_are_averaged_in_thirty_two_in_windows_too() -> None:
    x = np.full((1, 1, 2, 2), 20000, np.float16)
    y = average_pooling(x, 2, 2)
    assert y.dtype == np.float16
    np.testing.assert_array_equal(y, [[[[20000]]]])


def test_integers_of_numpy_are_integers() -> None:
    x = np.ones((1, 1, 4, 4), np.float32)
    two: Any = np.int64(2)
    one: Any = np.uint8(1)
    for f, backward in ((max_pooling, max_pooling_backward), (average_pooling, average_pooling_backward)):
        y = f(x, two, two, stride=two, pad=(one, one))
        assert y.dtype == backward(y, x, two, two, stride=two, pad=one).dtype == np.float32


def test_padding_gets_no_gradient_where_all_is_minus_infinity(xp: Variant) -> None:
    x, dout = np.full((1, 1, 2, 2), -np.inf), np.ones((1, 1, 2, 2))
    dx = xp.run(lambda dout, x: max_pooling_backward(dout, x, 2, 2, pad=1), dout, x)
    xp.check(dx, dout)


@pytest.mark.parametrize(("f", "backward", "window"), [
    (max_pooling, max_pooling_backward, (2, 2)),
    (average_pooling, average_pooling_backward, (2, 2)),
    (global_average_pooling, global_average_pooling_backward, ()),
])
def test_stacks_and_empty_batches(quick: Variant, f: Any, backward: Any, window: Any) -> None:
    x = images(0, (3, 2, 2, 4, 6), "float64")
    y = f(quick.asarray(x), *window)
    douts = images(1, tuple(y.shape), "float64")
    dx = backward(quick.asarray(douts), quick.asarray(x), *window)
    one_each = backward(quick.asarray(douts), quick.asarray(x[:1]), *window)
    for k in range(3):
        own, dout = quick.asarray(x[k]), quick.asarray(douts[k])
        quick.check(y[k, ...], quick.backend.to_numpy(f(own, *window)), rtol=1e-14)
        quick.check(dx[k, ...], quick.backend.to_numpy(backward(dout, own, *window)), rtol=1e-14)
        first = backward(dout, quick.asarray(x[0]), *window)
        quick.check(one_each[k, ...], quick.backend.to_numpy(first), rtol=1e-14)
    none = f(quick.asarray(x[0, :0]), *window)
    quick.check(none, np.zeros((0, *y.shape[2:])))
    quick.check(backward(none, quick.asarray(x[0, :0]), *window), x[0, :0])


def test_nan_is_not_hidden(xp: Variant) -> None:
    x = np.array([[1.0, np.nan, 5, 2]])[None, None]
    xp.check(xp.run(lambda x: max_pooling(x, 1, 2), x), [[[[np.nan, 5.0]]]])


def test_the_result_is_no_view() -> None:
    x = np.zeros((1, 1, 2, 2))
    assert not np.shares_memory(max_pooling(x, 1, 1, stride=1), x)
    assert not np.shares_memory(average_pooling(x, 1, 1, stride=1), x)
    for backward in (max_pooling_backward, average_pooling_backward):
        assert not np.shares_memory(backward(x, np.ones_like(x), 1, 1, stride=1), x)


@pytest.mark.parametrize(("arguments", "keywords", "message"), [
    ((7, 2), {}, "{} has windows of 7x2, larger than images of 6x4 with 0 and 0 of padding; got x"),
    ((2, 0), {}, "{} wants the window to be an integer from 1, or a pair of them"),
    ((2, 2), {"stride": 0}, "{} wants stride to be an integer from 1"),
    ((2, 2), {"stride": True}, "{} wants stride to be an integer from 1"),
    ((2, 2), {"pad": -1}, "{} wants pad to be an integer from 0"),
    ((2, 3), {"pad": (0, 2)}, "{} wants pad of at most half its window of 2x3"),
])
@pytest.mark.parametrize("f", [max_pooling, average_pooling])
def test_windows_that_cannot_be(f: Any, arguments: Any, keywords: Any, message: str) -> None:
    x = np.ones((2, 3, 6, 4))
    with pytest.raises(ValueError, match=re.escape(message.format(f.__name__))):
        f(x, *arguments, **keywords)
    backward = {max_pooling: max_pooling_backward, average_pooling: average_pooling_backward}[f]
    with pytest.raises(ValueError, match=re.escape(message.format(backward.__name__))):
        backward(x, x, *arguments, **keywords)


def test_arrays_that_cannot_be(quick: Variant) -> None:
    x = quick.asarray(np.ones((2, 3, 6, 4)))
    pairs = [(max_pooling, max_pooling_backward, (2, 2), (2, 3, 3, 2)),
             (average_pooling, average_pooling_backward, (2, 2), (2, 3, 3, 2)),
             (global_average_pooling, global_average_pooling_backward, (), (2, 3))]
    for f, backward, window, output in pairs:
        f_any: Any = f
        backward_any: Any = backward
        with pytest.raises(TypeError, match=f"{f.__name__} wants a real floating dtype"):
            f_any(quick.asarray(np.ones((2, 3, 6, 4), int)), *window)
        with pytest.raises(ValueError, match=rf"{f.__name__} wants x of shape \(…, C, H, W\)"):
            f_any(x[0, 0, ...], *window)
        with pytest.raises(TypeError, match=f"{backward.__name__} wants dout of dtype"):
            backward_any(quick.asarray(np.ones(output), "float32"), x, *window)
        for wrong in ((*output[:-1], output[-1] + 1), (1, *output), (1, *output[1:]), output[1:]):
            message = f"{backward.__name__} wants dout of shape {output}; got {wrong}"
            with pytest.raises(ValueError, match=re.escape(message)):
                backward_any(quick.asarray(np.ones(wrong)), x, *window)
    with pytest.raises(ValueError, match=r"wants dout of shape \(1, 3, 2\); got \(3, 3, 2\)"):
        max_pooling_backward(quick.asarray(np.ones((3, 3, 2))), x[0, :1, ...], 2, 2)
    with pytest.raises(ValueError, match="H and W from 1"):
        global_average_pooling(x[..., :0])
