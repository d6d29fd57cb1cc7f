"""The fast stand-ins of backends, against the functions that they stand in for."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from variants import Variant, installed, make, params

from xpnet import SGD, AdaGrad, Adam, AdamW, Momentum, Nesterov, RMSprop, functional
from xpnet.optimizers import StepDecay

Kernels = Mapping[str, Callable[..., Any]]
BACKENDS = Path(__file__).parent.parent / "backends" / "xpnet_backends"


@pytest.fixture(params=[*params("numpy", "torch", "jax", "cupy"), "numpy, in blocks",
                         "numpy, 3 threads", "numpy, without Numba"])
def at_work(
    request: pytest.FixtureRequest, threads: Any, monkeypatch: pytest.MonkeyPatch
) -> tuple[Variant, Kernels]:
    if request.param == "numpy, in blocks":
        threads(1, 400)  # of CONVOLUTIONS[1], two images at a time, and in the end one
    if request.param == "numpy, 3 threads":
        threads(3, 3000)  # of CONVOLUTIONS[0], two, two, and three: two at a time and one
    if request.param == "numpy, without Numba":
        without_numba(monkeypatch)
    variant = make(request.param.partition(",")[0])
    return variant, variant.backend.kernels


def without_numba(patch: pytest.MonkeyPatch) -> None:
    """Let NumPy's kernels do without the extra `fast`."""
    from xpnet_backends import numpy_affine, numpy_cross_entropy, numpy_relu, numpy_updates

    for module in (numpy_affine, numpy_cross_entropy, numpy_relu, numpy_updates):
        patch.setattr(module, "loops", None)


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, int], None]]:
    """Let NumPy's kernels work with so many threads, and blocks of so many numbers."""
    from xpnet_backends import numpy_convolution, numpy_masks, numpy_relu, numpy_threads

    numpy_threads._others.cache_clear()

    def many(count: int, block: int) -> None:
        monkeypatch.setattr(numpy_threads, "thread_count", lambda: count)
        monkeypatch.setattr(numpy_convolution, "BLOCK", block)
        monkeypatch.setattr(numpy_masks, "BLOCK", block)
        monkeypatch.setattr(numpy_relu, "BLOCK", block)
        monkeypatch.setattr(numpy_relu, "thread_count", lambda: count)

    yield many
    numpy_threads._others.cache_clear()


CONVOLUTIONS = [  # N, C, H, W, FN, FH, FW, stride, pad
    (7, 3, 6, 5, 4, 3, 3, 1, 1),
    (5, 1, 6, 7, 6, 3, 2, 1, 0),  # many filters on one channel
    (4, 2, 7, 8, 3, 3, 2, (2, 3), (1, 0)),  # rows and columns left over
    (3, 2, 4, 5, 3, 2, 2, 1, (3, 0)),  # more padding than filter
    (3, 2, 4, 5, 3, 2, 2, 1, (0, 3)),
    (0, 2, 4, 5, 3, 2, 2, 1, 1),
]
POOLINGS = [  # the shape of x, the window, stride, pad
    ((5, 3, 6, 8), (2, 2), 2, 0),
    ((4, 2, 7, 6), (3, 3), 2, 1),  # windows that overlap
    ((3, 2, 8, 7), (2, 3), (3, 1), (1, 0)),
    ((2, 2, 3, 4), (1, 1), 1, 0),
    ((0, 2, 4, 4), (2, 2), 2, 0),
]


def few(variant: Variant, cases: list[Any]) -> list[Any]:
    """Give all cases, but two to JAX, which compiles for every shape."""
    return cases[1:3] if variant.id == "jax" else cases


def twisted(a: np.ndarray[Any, Any]) -> Any:
    """Give the same values, read-only and not contiguous."""
    wide = np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a
    wide.flags.writeable = False
    return wide


def normal(seed: int, dtype: str, *shapes: tuple[int, ...]) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def compare(
    at_work: tuple[Variant, Kernels], name: str, arrays: list[Any], *arguments: Any, **keywords: Any
) -> Any:
    """Hold a kernel's result against that of the function, on arrays as they come and twisted."""
    variant, kernels = at_work
    if name not in kernels:  # there, the function itself is faster
        return getattr(functional, name)(*arrays, *arguments, **keywords)
    expected = getattr(functional, name)(*arrays, *arguments, **keywords)
    rtol, atol = (1e-11, 1e-12) if arrays[0].dtype == np.float64 else (1e-4, 1e-5)
    changes: list[Callable[[Any], Any]] = [np.copy, twisted]
    for change in changes if variant.id == "numpy" else changes[:1]:
        inputs = [change(a) if variant.id == "numpy" else variant.asarray(a) for a in arrays]
        moved = {key: variant.asarray(given) if isinstance(given, np.ndarray) else given
                 for key, given in keywords.items()}
        actual = kernels[name](*inputs, *arguments, **moved)
        for a, e in zip(*((r if isinstance(r, tuple) else (r,)) for r in (actual, expected)),
                        strict=True):
            if e is None:  # a dx that is not wanted
                assert a is None
                continue
            variant.check(a, e, rtol=rtol, atol=atol)
            if a.ndim and variant.id in ("numpy", "torch"):  # it is nobody else's
                a[...] = 7
        for given, a in zip(inputs, arrays, strict=True):
            variant.check(given, a, rtol=0)
    return expected


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_convolution(at_work: tuple[Variant, Kernels], dtype: str) -> None:
    for N, C, H, W, FN, FH, FW, stride, pad in few(at_work[0], CONVOLUTIONS):
        arrays = normal(0, dtype, (N, C, H, W), (FN, C, FH, FW), (FN,))
        out = compare(at_work, "convolution", arrays, stride=stride, pad=pad)
        dout = normal(1, dtype, out.shape)
        for with_dx in (True, False):
            compare(at_work, "convolution_backward", dout + arrays, stride=stride, pad=pad,
                    with_dx=with_dx)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_batch_normalization(at_work: tuple[Variant, Kernels], dtype: str) -> None:
    for shape, axis in (((8, 5), -1), ((1, 5), -1), ((4, 5, 3, 2), -3), ((0, 5), -1)):
        arrays = [a + b for a, b in zip(normal(0, dtype, shape, (5,), (5,)), (3, 0, 0), strict=True)]
        _, mean, var = compare(at_work, "batch_normalization", arrays, axis=axis, eps=1e-3)
        dout = normal(1, dtype, shape)
        compare(at_work, "batch_normalization_backward", dout + arrays, axis=axis, eps=1e-3)
        variant, kernels = at_work
        if "batch_normalization_backward" in kernels:
            given: dict[str, Any] = {"axis": axis, "eps": 1e-3}
            expected = functional.batch_normalization_backward(
                *dout, *arrays, mean=mean, var=var, **given)
            handed_on = {"mean": variant.asarray(mean), "var": variant.asarray(var)}
            found = kernels["batch_normalization_backward"](
                *map(variant.asarray, dout + arrays), **handed_on, **given)
            rtol, atol = (1e-11, 1e-12) if dtype == "float64" else (1e-4, 1e-5)
            variant.check_all(found, expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_max_pooling(at_work: tuple[Variant, Kernels], dtype: str) -> None:
    for shape, window, stride, pad in few(at_work[0], POOLINGS):
        # A few different numbers, so that half of the windows have several that are the largest.
        x = np.random.default_rng(0).integers(-2, 2, shape).astype(dtype)
        y = compare(at_work, "max_pooling", [x], *window, stride=stride, pad=pad)
        dout = normal(1, dtype, y.shape)
        compare(at_work, "max_pooling_backward", [*dout, x], *window, stride=stride, pad=pad)
        variant, kernels = at_work
        if "max_pooling_backward" not in kernels:
            continue
        given = {"y": variant.asarray(y), "stride": stride, "pad": pad}
        dx = kernels["max_pooling_backward"](
            variant.asarray(dout[0]), variant.asarray(x), *window, **given)
        variant.check(dx, functional.max_pooling_backward(dout[0], x, *window, stride=stride, pad=pad),
                      rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dropout_masks_are_those_of_the_definition(at_work: tuple[Variant, Kernels], dtype: str) -> None:
    variant, kernels = at_work
    if "dropout_mask" not in kernels:
        pytest.skip("there, the function itself is as fast")
    for counter in ([3, 4], [-(2**31), -1], [[1, 2], [3, 4]]):
        for shape in ((4, 5), (1,), (3, 2, 2), (0, 3)):
            for ratio, stream in ((0.3, 0), (0.0, 7), (0.999, 2**32 - 1)):
                host = np.array(counter, "int32")
                expected = functional.dropout_mask(host, stream, shape, ratio, np.dtype(dtype))
                of = variant.backend.dtype(dtype)
                found = kernels["dropout_mask"](variant.asarray(host), stream, shape, ratio, of)
                variant.check(found, expected, rtol=0)
                for first in (1, 8, 4 * 5 + 2):  # of a batch of which these are the last rows
                    whole = functional.dropout_mask(host, stream, (first + math.prod(shape),), ratio, np.dtype(dtype))
                    found = kernels["dropout_mask"](variant.asarray(host), stream, shape, ratio, of, first=first)
                    variant.check(found, whole[..., first:].reshape(*host.shape[:-1], *shape), rtol=0)


def test_padding_gets_no_gradient_where_all_is_minus_infinity(at_work: tuple[Variant, Kernels]) -> None:
    arrays = [np.ones((1, 1, 2, 2)), np.full((1, 1, 2, 2), -np.inf)]
    dx = compare(at_work, "max_pooling_backward", arrays, 2, 2, stride=2, pad=1)
    np.testing.assert_array_equal(dx, arrays[0])


def test_numpys_kernels_leave_what_is_unusual_to_the_functions() -> None:
    numpy = make("numpy")
    at_work = numpy, numpy.backend.kernels
    for dtype, stack in (("longdouble", ()), ("float64", (2,))):
        x = normal(0, dtype, (*stack, 2, 2, 4, 4))[0]
        y = compare(at_work, "max_pooling", [x], 2, 2)
        compare(at_work, "max_pooling_backward", [y, x], 2, 2)
    for dtype, shapes in (
        ("float64", ((2, 2, 4, 4), (0, 2, 3, 3), (0,))),
        ("float64", ((2, 0, 4, 4), (3, 0, 3, 3), (3,))),
        ("float64", ((2, 2, 4, 4), (5, 3, 2, 3, 3), (5, 3))),
        ("float16", ((3000, 1, 1, 1), (2, 1, 1, 1), (2,))),  # the gradient of b would stop at 2048
    ):
        arrays = [np.ones(shape, dtype) for shape in shapes]
        out = compare(at_work, "convolution", arrays)
        compare(at_work, "convolution_backward", [np.ones_like(out), *arrays])


def test_numpys_convolution_does_not_warn_of_what_it_cuts_off() -> None:
    kernels = make("numpy").backend.kernels
    x = np.array([[[[0, 3e38], [3e38, 0]]]], "float32")  # the end of a row, the start of the next
    W, b = np.ones((1, 1, 1, 2), "float32"), np.zeros(1, "float32")
    np.testing.assert_array_equal(kernels["convolution"](x, W, b), np.full((1, 1, 2, 1), x.max()))


@pytest.mark.skipif(not installed("torch"), reason="torch is not installed")
def test_torchs_normalization_leaves_what_is_unusual_to_the_functions() -> None:
    torch = make("torch")
    kernels = torch.backend.kernels
    (x, dout, gamma), (stacked,) = normal(0, "float64", (8, 5), (8, 5), (5,)), normal(1, "float64", (2, 5))
    compare((torch, kernels), "batch_normalization", [x, gamma, stacked])
    _, mean, var = functional.batch_normalization(x, gamma, gamma)
    moments = {"mean": torch.asarray(mean), "var": torch.asarray(var)}
    backward = kernels["batch_normalization_backward"]
    _, _, dbeta = backward(*map(torch.asarray, ([dout, dout], x, gamma, stacked)), **moments)
    torch.check(dbeta, [dout.sum(0)] * 2, rtol=1e-12)
    a, c, narrow = torch.asarray(x), torch.asarray(gamma), torch.asarray(gamma, "float32")
    with pytest.raises(TypeError, match=r"all arrays of one dtype; got .*float32"):
        kernels["batch_normalization"](a, c, narrow)
    for inputs in ((torch.asarray(dout, "float32"), a, c, c), (a, a, c, narrow)):
        with pytest.raises(TypeError, match=r"all arrays of one dtype; got .*float32"):
            backward(*inputs, **moments)
    x = np.where(np.arange(100)[:, None] == 0, 60000, 0)  # their variance is beyond float16
    half = [torch.asarray(a, "float16") for a in (x, [1], [0])]
    y, mean, var = kernels["batch_normalization"](*half)
    torch.check(backward(y, *half, mean=mean, var=var)[1], [100], dtype="float16", rtol=1e-2)


@pytest.mark.skipif(not installed("torch"), reason="torch is not installed")
def test_torchs_normalization_of_arrays_with_gaps_in_memory() -> None:
    torch = make("torch")
    x, dout, channels = normal(0, "float64", (8, 5), (8, 5), (5, 2))
    _, mean, var = functional.batch_normalization(x, channels[:, 0], channels[:, 1])
    expected = functional.batch_normalization_backward(
        dout, x, channels[:, 0], channels[:, 1], mean=mean, var=var)
    gamma, beta = torch.asarray(channels)[:, 0], torch.asarray(channels)[:, 1]
    moments = torch.asarray(np.stack([mean, var], axis=1))
    found = torch.backend.kernels["batch_normalization_backward"](
        torch.asarray(dout), torch.asarray(x), gamma, beta, mean=moments[:, 0], var=moments[:, 1])
    torch.check_all(found, expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(7, 5, 3), (1, 4, 2), (0, 3, 2)])
def test_affine(at_work: tuple[Variant, Kernels], dtype: str, shape: tuple[int, ...]) -> None:
    if at_work[0].id == "jax":
        return
    N, D, M = shape
    *dout, x, W, b = normal(0, dtype, (N, M), (N, D), (D, M), (M,))
    compare(at_work, "affine", [x, W, b])
    for with_dx in (True, False):
        compare(at_work, "affine_backward", [*dout, x, W, b], with_dx=with_dx)
    stack = [np.stack([a, 2 * a]) for a in (x, W, b)]
    compare(at_work, "affine", stack)
    if "affine" in at_work[1]:
        for wrong in ([x[:, 1:], W, b], [x, W, b[1:]]):
            with pytest.raises(ValueError, match=r"^affine wants x of shape"):
                at_work[1]["affine"](*wrong)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("stacks", [(3, 3, 3), (1, 3, 3), (None, 3, 3), (3, 1, 1), (3, None, None), (1, 1, 3),
                                    (1, 1, 1), (None, 3, 1)])
def test_affine_of_stacks(
    at_work: tuple[Variant, Kernels], dtype: str, stacks: tuple[int | None, ...]
) -> None:
    variant, kernels = at_work
    if "stacked_affine" not in kernels:
        pytest.skip("there, the function itself is as fast")
    x, W, b = (a if n is None else np.stack([a + k for k in range(n)]) for n, a in
               zip(stacks, normal(0, dtype, (4, 5), (5, 2), (2,)), strict=True))
    dout = np.ones_like(functional.affine(x, W, b))
    rtol = {"float16": 1e-2, "float32": 1e-4, "float64": 1e-11}[dtype]
    variant.check(kernels["stacked_affine"](*map(variant.asarray, (x, W, b))), functional.affine(x, W, b),
                  rtol=rtol, atol=rtol)
    expected = functional.affine_backward(dout, x, W, b)
    for with_dx in (True, False):
        dx, *grads = kernels["stacked_affine_backward"](
            *map(variant.asarray, (dout, x, W, b)), with_dx=with_dx)
        variant.check_all(grads, expected[1:], rtol=rtol, atol=rtol)
        if with_dx:
            variant.check(dx, expected[0], rtol=rtol, atol=rtol)
        else:
            assert dx is None


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("labels", ["int64", "uint8", "int8", "one-hot", "outside"])
def test_softmax_cross_entropy(
    at_work: tuple[Variant, Kernels], dtype: str, labels: str
) -> None:
    variant, kernels = at_work
    if variant.id == "jax":
        return
    x, = normal(0, dtype, (6, 4))
    x[1] += 50  # to be shifted
    x[2, 1] = -np.inf
    t: Any = np.array([0, 3, 2, 1, 1, 0])
    if labels == "one-hot":
        t = np.eye(4, dtype=dtype)[t]
    elif labels == "outside":
        t[1:3] = -1, 4
    else:
        t = t.astype(labels)
    loss = compare(at_work, "softmax_cross_entropy", [x, t])
    assert np.isnan(loss) == (labels == "outside")
    _, y = functional.softmax_cross_entropy(x, t, return_y=True)
    compare(at_work, "softmax_cross_entropy", [x, t], return_y=True)
    for dout in (1, 0.5):
        if "softmax_cross_entropy" in kernels:
            expected = functional.softmax_cross_entropy_backward(dout, x, t, y=y)
            found = kernels["softmax_cross_entropy_backward"](
                dout, *map(variant.asarray, (x, t)), y=variant.asarray(y))
            variant.check(found, expected, rtol=1e-4 if dtype != "float16" else 1e-3, atol=1e-6)
    compare(at_work, "softmax_cross_entropy", [x, t], label_smoothing=0.1)
    compare(at_work, "softmax_cross_entropy", [x, t], sample_weight=np.arange(6).astype(dtype))
    compare(at_work, "softmax_cross_entropy", [x[:0], t[:0]], return_y=True)
    compare(at_work, "softmax_cross_entropy", [np.stack([x, x]), np.stack([t, t])])


@pytest.mark.parametrize("optimizer", [
    SGD(0.1), SGD(0.1, weight_decay=0.2), Momentum(0.1, weight_decay=0.2, decoupled=True),
    Nesterov(0.1), AdaGrad(0.1), RMSprop(0.1), Adam(0.1), AdamW(0.1), Adam(0.1, weight_decay=0.2),
], ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_updates_of_numpy_are_those_of_the_rules_bit_for_bit(
    optimizer: Any, dtype: str, at_work: tuple[Variant, Kernels], threads: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    variant, kernels = at_work
    if variant.id != "numpy" or "adam" not in kernels:
        return
    from xpnet_backends import numpy_updates

    monkeypatch.setattr(numpy_updates, "PART", 20)
    if numpy_updates.loops is not None:
        monkeypatch.setattr(numpy_updates.loops, "MANY", 20)  # so that threads share them
    fast = optimizer.with_kernels(kernels)
    params = dict(zip("Wb", normal(0, dtype, (7, 9), (9,)), strict=True))
    states = [optimizer.init(params)] * 2
    both = [params, params]
    for step in range(3):
        grads = dict(zip("Wb", normal(step, dtype, (9, 7), (9,)), strict=True))
        grads["W"] = grads["W"].T
        for k, rule in enumerate((optimizer, fast)):
            both[k], states[k] = rule.update(both[k], grads, states[k])
    for name in params:
        np.testing.assert_array_equal(both[0][name], both[1][name])
        for key in optimizer.memory:
            np.testing.assert_array_equal(states[0][key][name], states[1][key][name])


@pytest.mark.parametrize("library", params("torch", "cupy"))
@pytest.mark.parametrize("optimizer", [
    SGD(0.1), SGD(0.1, weight_decay=0.2), SGD(0.1, weight_decay=0.2, decoupled=True),
    SGD(StepDecay(0.1, every=1)), Momentum(0.1), Nesterov(0.1), AdaGrad(0.1), RMSprop(0.1),
    Adam(0.1), AdamW(0.1), Adam(0.1, weight_decay=0.2), Adam(StepDecay(0.1, every=1)),
], ids=str)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_updates_on_other_libraries(optimizer: Any, dtype: str, library: str) -> None:
    xp = make(library)
    fast = optimizer.with_kernels(xp.backend.kernels)
    names = ["W", *map(str, range(9))]  # more than are updated at a time
    params = dict(zip(names, map(xp.asarray, normal(0, dtype, (7, 9), *[(3,)] * 9)), strict=True))
    states, both = [optimizer.init(params)] * 2, [params, params]
    for step in range(3):
        grads = dict(zip(names, map(xp.asarray, normal(step + 1, dtype, (9, 7), *[(3,)] * 9)), strict=True))
        grads["W"] = grads["W"].T
        for k, rule in enumerate((optimizer, fast)):
            both[k], states[k] = rule.update(both[k], grads, states[k])
    rtol = {"float16": 4e-3, "float32": 1e-5, "float64": 1e-13}[dtype]  # four of the last places
    for found, expected in ((both[1], both[0]), *((states[1][key], states[0][key])
                                                  for key in optimizer.memory)):
        for name in names:
            xp.check(found[name], xp.backend.to_numpy(expected[name]), rtol=rtol, atol=rtol / 100)
    xp.check(params["W"], normal(0, dtype, (7, 9))[0], rtol=0)


@pytest.mark.parametrize("name", ["direction", "move", "moves"])
def test_a_rule_of_ones_own_has_no_stand_in(name: str) -> None:
    def direction(self: Any, g: Any, *memory: Any, **numbers: Any) -> Any:
        return (-g,)

    def move(self: Any, p: Any, g: Any, memory: Any, lr: Any, numbers: Any) -> Any:
        return (p + lr * g,)

    def moves(self: Any, params: Any, grads: Any, memories: Any, rates: Any, numbers: Any) -> Any:
        return [(p + lr * g,) for p, g, lr in zip(params, grads, rates, strict=True)]

    own = {"direction": direction, "move": move, "moves": moves}
    backwards = type("Backwards", (SGD,), {name: own[name]})(0.1)
    for optimizer in (backwards, backwards.with_kernels(make("numpy").backend.kernels)):
        params, _ = optimizer.update({"W": np.ones(2)}, {"W": np.ones(2)}, {})
        np.testing.assert_allclose(params["W"], 1.1)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(5, 3), (), (0, 2)])
def test_relu_of_numpy(dtype: str, shape: tuple[int, ...]) -> None:
    numpy = make("numpy")
    for x in (np.asarray(normal(0, dtype, shape)[0]), np.zeros(shape, dtype),
              np.full(shape, np.nan, dtype)):
        for dout in (*normal(1, dtype, shape), np.full(shape, np.inf, dtype)):
            dout = np.asarray(dout)
            compare((numpy, numpy.backend.kernels), "relu_backward", [dout, x])
        compare((numpy, numpy.backend.kernels), "relu", [x])


def test_relu_of_numpy_gives_one_gradient_a_network_and_refuses_the_rest() -> None:
    kernel = make("numpy").backend.kernels["relu_backward"]
    x, dout = np.array([[[1.0, -1]]]), np.array([[[2.0, 3]], [[4, 5]]])
    np.testing.assert_array_equal(kernel(dout, x), [[[2, 0]], [[4, 0]]])
    with pytest.raises(ValueError, match=r"relu_backward wants dout of shape \(1, 1, 2\)"):
        kernel(dout[..., :1], x)
    with pytest.raises(TypeError, match=r"relu_backward wants dout of dtype float64"):
        kernel(x.astype(np.float32), x)


def test_what_the_functions_refuse_is_refused(at_work: tuple[Variant, Kernels]) -> None:
    variant, kernels = at_work
    x, W, b = (variant.asarray(np.ones(shape)) for shape in ((2, 3, 5, 5), (4, 3, 3, 3), (4,)))
    calls: dict[str, tuple[Callable[[Any], Any], str]] = {
        "convolution": (lambda f: f(x[:, :2, ...], W, b), "wants x of shape"),
        "convolution_backward": (lambda f: f(x, x, W, b), "wants dout of shape"),
        "max_pooling": (lambda f: f(x, 2, 2, pad=2), "wants pad of at most half"),
        "max_pooling_backward": (lambda f: f(x, x, 2, 2), "wants dout of shape"),
    }
    for name in calls.keys() & kernels.keys():
        call, message = calls[name]
        with pytest.raises(ValueError, match=f"^{name} {message}"):
            call(kernels[name])


@pytest.mark.skipif(not installed("jax"), reason="jax is not installed")
def test_jaxs_kernels_can_be_compiled() -> None:
    import jax

    variant = make("jax-jit")
    kernels = variant.backend.kernels
    arrays = normal(0, "float64", (2, 4, 2, 3), (2, 2, 4, 5), (4, 2, 3, 3), (4,))

    def both(dout: Any, x: Any, W: Any, b: Any) -> Any:
        y = kernels["convolution"](x, W, b)
        return y, *kernels["convolution_backward"](dout, x, W, b)

    expected = (functional.convolution(*arrays[1:]), *functional.convolution_backward(*arrays))
    variant.check_all(jax.jit(both)(*map(variant.asarray, arrays)), expected, rtol=1e-11, atol=1e-12)


def test_which_kernels_there_are(at_work: tuple[Variant, Kernels]) -> None:
    variant, kernels = at_work
    convolution, pooling = {"convolution", "convolution_backward"}, {"max_pooling_backward"}
    normalization = {"batch_normalization", "batch_normalization_backward"}
    cupys = {"affine_chain", "affine_chain_backward", "stacked_affine", "stacked_affine_backward", "dropout_mask",
             "max_pooling"}
    small = {"sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "affine", "affine_backward",
             "softmax_cross_entropy", "softmax_cross_entropy_backward"}
    pays = {"numpy": convolution | pooling | {"max_pooling"}, "torch": convolution | pooling | normalization,
            "jax": convolution, "cupy": convolution | pooling | cupys}
    assert kernels.keys() - {"relu", "relu_backward"} - small == pays[variant.id]
    assert small < make("numpy").backend.kernels.keys()
    assert make("strict").backend.kernels == {}




@pytest.mark.parametrize("shape", [(), (3,), (4, 5)])
def test_relu_backward(at_work: tuple[Variant, Kernels], shape: tuple[int, ...]) -> None:
    x, dout = (a[()] if shape else np.asarray(a) for a in normal(0, "float64", shape, shape))
    for edge in (0.0, -0.0, np.nan, np.inf):
        compare(at_work, "relu_backward", [dout, np.where(x > 0.3, edge, x)])
    if len(shape) == 2:
        compare(at_work, "relu_backward", [np.stack([dout, dout]), x[None, ...]])


@pytest.mark.parametrize(("variables", "threads"), [
    ({}, 1), ({"OMP_NUM_THREADS": "3"}, 1), ({"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "3"}, 1),
    ({"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "3"}, 3),
    ({"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "0"}, 1),
    ({"OPENBLAS_NUM_THREADS": "1"}, None),
])
def test_threads_are_as_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], threads: int | None
) -> None:
    from xpnet_backends.numpy_threads import thread_count

    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert thread_count() == (threads or processors)
    if threads is None:
        with make("numpy").backend.threads_for(1e12, processes=2):  # which share the processors
            assert thread_count() == max(1, (processors or 1) // 2)


def test_work_is_shared_without_gaps_and_its_errors_come_out(threads: Any) -> None:
    from xpnet_backends.numpy_threads import share

    threads(3, 1)
    for count in (0, 1, 2, 3, 10):
        for at_a_time in (None, 1, 2, 50):
            parts = share(lambda first, last: list(range(first, last)), count, at_a_time)
            assert [k for part in parts for k in part] == list(range(count))
            assert all(len(part) <= (at_a_time or count) for part in parts)

    def work(first: int, last: int) -> None:
        if last == 10:
            raise ValueError("in a thread")

    with pytest.raises(ValueError, match="in a thread"):
        share(work, 10)


def test_what_numpy_is_told_of_errors_holds_in_all_threads(threads: Any) -> None:
    from xpnet_backends.numpy_threads import share

    threads(3, 1)
    with np.errstate(over="ignore", under="raise"):
        found = share(lambda first, last: np.geterr(), 3)
    assert [(each["over"], each["under"]) for each in found] == [("ignore", "raise")] * 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_forked_process_has_threads_of_its_own() -> None:
    program = """
import os
from xpnet_backends import numpy_threads
work = lambda first, last: last - first
print(sum(numpy_threads.share(work, 10)), flush=True)
child = os.fork()
print(sum(numpy_threads.share(work, 10)), flush=True)
if child:
    os.waitpid(child, 0)
"""
    root = BACKENDS.parent.parent
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True,
        timeout=60, env={"PYTHONPATH": f"{root}:{root / 'backends'}", "OPENBLAS_NUM_THREADS": "1",
                         "OMP_NUM_THREADS": "2"})
    assert done.stdout.split() == ["10", "10", "10"]
