from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from autograd import gradients
from numpy.typing import NDArray
from variants import Variant, installed, make

from xpnet.functional import batch_normalization
from xpnet.layers import BatchNormalization
from xpnet.testing import check_layer

EPS = 0.01


def normal(seed: int, *shapes: tuple[int, ...]) -> list[NDArray[Any]]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) + 0.5 for shape in shapes]


def train(x: Any, gamma: Any, beta: Any, dout: Any) -> Any:
    layer = BatchNormalization(gamma, beta, 0.75, eps=EPS).bind({})
    y = layer.forward(x)
    return y, layer.backward(dout), layer.dgamma, layer.dbeta, layer.running_mean, layer.running_var


@pytest.mark.parametrize("shape", [(7, 3), (5, 3, 2, 4)])
def test_training_is_autograds(xp: Variant, shape: tuple[int, ...]) -> None:
    x, gamma, beta, dout = normal(0, shape, (3,), (3,), shape)
    found = xp.run(train, x, gamma, beta, dout)

    def batch_norm(torch: Any, x: Any, gamma: Any, beta: Any) -> Any:
        return torch.nn.functional.batch_norm(x, None, None, gamma, beta, training=True, eps=EPS)

    expected = gradients(batch_norm, dout, (x, gamma, beta))
    y, _, _ = batch_normalization(x, gamma, beta, axis=1 - len(shape), eps=EPS)
    channels = np.moveaxis(x, 1, 0).reshape(3, -1)
    averages = 0.25 * channels.mean(1), 0.75 + 0.25 * channels.var(1)  # from 0 and 1
    xp.check_all(found, (y, *expected, *averages), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("shape", [(7, 3), (5, 3, 2, 4)])
def test_inference_is_autograds_with_the_running_averages(
    xp: Variant, shape: tuple[int, ...]
) -> None:
    x, gamma, beta, mean, dout = normal(1, shape, (3,), (3,), (3,), shape)
    var = np.exp(mean)

    def infer(x: Any, gamma: Any, beta: Any, mean: Any, var: Any, dout: Any) -> Any:
        layer = BatchNormalization(gamma, beta, 0.75, mean, var, eps=EPS).bind({})
        y = layer.forward(x, train_flg=False)
        assert layer.running_mean is mean
        assert layer.running_var is var
        return y, layer.backward(dout), layer.dgamma, layer.dbeta

    def batch_norm(torch: Any, x: Any, gamma: Any, beta: Any) -> Any:
        return torch.nn.functional.batch_norm(x, torch.asarray(mean), torch.asarray(var), gamma, beta,
                                              training=False, eps=EPS)

    torch = pytest.importorskip("torch")
    y = batch_norm(torch, *map(torch.asarray, (x, gamma, beta))).numpy()
    expected = gradients(batch_norm, dout, (x, gamma, beta))
    xp.check_all(xp.run(infer, x, gamma, beta, mean, var, dout), (y, *expected), rtol=1e-10,
                 atol=1e-13)


def test_the_averages_are_the_books(eager: Variant) -> None:
    # Chapter 6.3: running = momentum * running + (1 - momentum) * batch, of the biased variance.
    layer = BatchNormalization(eager.asarray(np.ones(3)), eager.asarray(np.zeros(3)))
    mean, var = np.zeros(3), np.ones(3)
    for x in normal(2, (7, 3), (2, 3), (5, 3)):
        held = layer.running_mean, layer.running_var
        layer.forward(eager.asarray(x))
        eager.check_all(held, (mean, var), rtol=1e-12)  # others are held now, these not written to
        mean, var = 0.9 * mean + 0.1 * x.mean(0), 0.9 * var + 0.1 * x.var(0)
        eager.check_all((layer.running_mean, layer.running_var), (mean, var), rtol=1e-12)
    layer.forward(eager.asarray(np.zeros((0, 3))))
    layer.forward(eager.asarray(np.ones((7, 3))), train_flg=False)
    eager.check_all((layer.running_mean, layer.running_var), (mean, var), rtol=1e-12)
    assert list(layer.state) == ["running_mean", "running_var"]
    assert list(layer.params) == ["gamma", "beta"]
    assert layer.has_train_flg
    assert not layer.draws


def test_the_ends_of_momentum_and_eps() -> None:
    (x,) = normal(2, (7, 3))
    for momentum, mean in ((0, x.mean(0)), (1, np.zeros(3))):
        layer = BatchNormalization(np.ones(3), np.zeros(3), momentum, eps=0)
        np.testing.assert_allclose(layer.forward(x), (x - x.mean(0)) / x.std(0), rtol=1e-12)
        np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-12)


def test_a_bound_copy_leaves_the_layer_its_averages(eager: Variant) -> None:
    (x,) = normal(3, (7, 3))
    ones, zeros = eager.asarray(np.ones(3)), eager.asarray(np.zeros(3))
    layer = BatchNormalization(ones, zeros)
    bound = layer.bind({}, {"running_mean": eager.asarray(np.full(3, 10.0))})
    bound.forward(eager.asarray(x))
    eager.check(bound.state["running_mean"], 9 + 0.1 * x.mean(0), rtol=1e-12)
    eager.check(bound.state["running_var"], 0.9 + 0.1 * x.var(0), rtol=1e-12)
    eager.check_all((layer.running_mean, layer.running_var), (np.zeros(3), np.ones(3)))


@pytest.mark.parametrize("shape", [(7, 3), (1, 7, 3), (2, 7, 3), (2, 5, 3, 2, 4), (5, 3, 2, 4)])
def test_a_stack_equals_its_members(xp: Variant, shape: tuple[int, ...]) -> None:
    own = shape if len(shape) in (2, 4) else shape[1:]
    x, gamma, beta, dout = normal(4, shape, (2, 3), (2, 3), (2, *own))
    each = np.broadcast_to(x, (2, *own))
    members = [train(each[k], gamma[k], beta[k], dout[k]) for k in range(2)]
    expected = [np.stack(a) for a in zip(*members, strict=True)]
    if shape == own:
        expected[1] = expected[1].sum(0)
    xp.check_all(xp.run(train, x, gamma, beta, dout), expected, rtol=1e-11, atol=1e-12)


def test_a_stack_bound_to_a_layer_has_averages_of_its_own(xp: Variant) -> None:
    x, gamma, running_mean = normal(6, (7, 3), (2, 3), (3,))

    def forward(x: Any, gamma: Any, mean: Any) -> Any:
        layer = BatchNormalization(gamma[0, :], gamma[0, :], 0.5, mean)
        bound = layer.bind({"gamma": gamma})
        bound.forward(x)
        return bound.running_mean, bound.running_var

    mean, var = 0.5 * (running_mean + x.mean(0)), 0.5 * (1 + x.var(0))
    xp.check_all(xp.run(forward, x, gamma, running_mean), (np.stack([mean] * 2), np.stack([var] * 2)),
                 rtol=1e-12)


def test_numpys_numbers_leave_the_dtype(eager: Variant) -> None:
    c, x = (eager.asarray(np.ones(shape, "float32")) for shape in ((3,), (7, 3)))
    layer = BatchNormalization(c, c, np.float64(0.9), eps=np.float64(1e-5))
    for train_flg in (True, False):
        assert layer.forward(x, train_flg).dtype == layer.backward(x).dtype == c.dtype
    assert layer.running_mean.dtype == layer.running_var.dtype == c.dtype


@pytest.mark.parametrize("stacked", ["gamma", "beta"])
def test_either_parameter_makes_a_stack(eager: Variant, stacked: str) -> None:
    x, gamma, beta, dout = normal(9, (2, 7, 3), (3,), (3,), (2, 7, 3))
    both = {"gamma": gamma, "beta": beta}
    both[stacked] = np.stack([both[stacked], -both[stacked]])
    each = [np.broadcast_to(a, (2, 3)) for a in both.values()]
    members = [train(x[k], each[0][k], each[1][k], dout[k]) for k in range(2)]
    y, dx, dgamma, dbeta, mean, var = (np.stack(a) for a in zip(*members, strict=True))
    if stacked == "beta":
        dgamma = dgamma.sum(0)
    else:
        dbeta = dbeta.sum(0)
    of_both = [eager.asarray(a) for a in both.values()]
    layer = BatchNormalization(of_both[0], of_both[1], 0.75, eps=EPS)
    eager.check_all((layer.forward(eager.asarray(x)), layer.backward(eager.asarray(dout))), (y, dx),
                    rtol=1e-11, atol=1e-12)
    found = layer.dgamma, layer.dbeta, layer.running_mean, layer.running_var
    eager.check_all(found, (dgamma, dbeta, mean, var), rtol=1e-11, atol=1e-12)


def test_an_empty_batch_in_training(xp: Variant) -> None:
    empty, ones, zeros = np.zeros((0, 3)), np.ones(3), np.zeros(3)
    xp.check_all(xp.run(train, empty, ones, ones, empty), (empty, empty, zeros, zeros, zeros, ones))


def test_averages_keep_their_dtype_and_the_output_that_of_x(eager: Variant) -> None:
    ones, x = eager.asarray(np.ones(3, "float32")), eager.asarray(np.ones((7, 3)))
    layer = BatchNormalization(ones, ones).bind({"gamma": eager.asarray(np.ones(3)),
                                                 "beta": eager.asarray(np.ones(3))})
    eager.check(layer.forward(x, train_flg=False), np.full((7, 3), 1 + 1 / np.sqrt(1 + 1e-5)),
                rtol=1e-12)
    eager.check(layer.forward(x), np.ones((7, 3)))
    eager.check(layer.running_mean, np.full(3, 0.1), dtype="float32", rtol=1e-6)


@pytest.mark.parametrize("shape", [(7, 4), (7, 3, 2), (3,), (7, 4, 2, 2), (2, 7, 3), (2, 7, 3, 2, 2)])
def test_an_input_that_does_not_fit_names_the_layer(eager: Variant, shape: tuple[int, ...]) -> None:
    layer = BatchNormalization(eager.asarray(np.ones(3)), eager.asarray(np.ones(3)))
    layer.name = "BatchNormalization1"
    message = f"BatchNormalization1 wants x of shape (N, 3) or (N, 3, H, W); got {shape}"
    with pytest.raises(ValueError, match=re.escape(message)):
        layer.forward(eager.asarray(np.ones(shape)))


@pytest.mark.parametrize("shape", [(4, 7, 3), (7, 3, 2), (4, 5, 3, 2, 2), (2, 2, 7, 3, 2, 2), (3,)])
def test_an_input_that_does_not_fit_a_stack(eager: Variant, shape: tuple[int, ...]) -> None:
    layer = BatchNormalization(*(eager.asarray(np.ones((2, 3))) for _ in range(2)))
    message = ("BatchNormalization wants x of shape (N, 3) or (N, 3, H, W), or one with (2, …) in "
               f"front; got {shape}")
    with pytest.raises(ValueError, match=re.escape(message)):
        layer.forward(eager.asarray(np.ones(shape)))


def test_two_stack_axes_are_rather_that_than_images(eager: Variant) -> None:
    x, gamma = normal(7, (2, 2, 7, 3), (2, 2, 3))
    layer = BatchNormalization(*(eager.asarray(gamma) for _ in range(2)))
    eager.check(layer.forward(eager.asarray(x)), batch_normalization(x, gamma, gamma)[0], rtol=1e-12)


def test_what_a_constructor_refuses(eager: Variant) -> None:
    c, d = eager.asarray(np.ones(3)), eager.asarray(np.ones(4))
    single, scalar = eager.asarray(np.ones(3, "float32")), eager.asarray(np.ones(()))
    for arrays in ((c, d), (c, scalar), (scalar, c), (c, c, 0.9, d), (c, c, 0.9, c, d)):
        with pytest.raises(ValueError, match=r"BatchNormalization wants arrays of shape \(…, C\); got"):
            BatchNormalization(*arrays)
    for arrays in ((c, single), (c, c, 0.9, single), (c, c, 0.9, c, single)):
        with pytest.raises(TypeError, match=r"wants arrays of one dtype; got gamma .*64, .* .*float32"):
            BatchNormalization(*arrays)
    stack, other = eager.asarray(np.ones((2, 3))), eager.asarray(np.ones((4, 3)))
    with pytest.raises(ValueError, match=r"one stack; got gamma \(2, 3\) and beta \(4, 3\)"):
        BatchNormalization(stack, other)
    for arrays in ((c, c, 0.9, stack), (stack, c, 0.9, c)):
        with pytest.raises(ValueError, match=r"wants running averages of shape \(.*3.*\); got gamma"):
            BatchNormalization(*arrays)
    integers = eager.asarray(np.ones(3, "int64"))
    with pytest.raises(TypeError, match=r"BatchNormalization wants a real floating dtype; got .*int64"):
        BatchNormalization(integers, integers)
    for momentum in (-0.1, 1.1, float("nan"), "0.9"):
        with pytest.raises((TypeError, ValueError), match=r"wants momentum (from 0 to 1|to be .*); got"):
            BatchNormalization(c, c, momentum)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"wants eps of 0 or more; got -1"):
        BatchNormalization(c, c, eps=-1)
    with pytest.raises(RuntimeError, match=r"BatchNormalization.backward wants a forward before it"):
        BatchNormalization(c, c).backward(c)


@pytest.mark.skipif(not installed("torch"), reason="torch is not installed")
def test_arrays_on_an_autograd_tape_are_refused() -> None:
    import torch

    c = torch.ones(3)
    with pytest.raises(TypeError, match=r"BatchNormalization .* requires_grad=True: pass x.detach"):
        BatchNormalization(c, c, 0.9, c.clone().requires_grad_())
    with pytest.raises(TypeError, match=r"BatchNormalization .* requires_grad=True: pass x.detach"):
        BatchNormalization(c, c).forward(torch.ones((7, 3), requires_grad=True))


def test_a_backends_kernels_compute_what_is_not_stacked() -> None:
    x, c = np.ones((5, 3)), np.ones(3)
    kernels = {"batch_normalization": lambda *_, **__: ("y", c, c),
               "batch_normalization_backward": lambda *_, **__: ("dx", c, c)}
    layer = BatchNormalization(c, c).with_kernels(kernels)
    assert layer.forward(x) == "y"
    assert layer.backward(x) == "dx"
    for beta in (c, np.ones((2, 3))):
        stack = BatchNormalization(np.ones((2, 3)), beta).with_kernels(kernels)
        assert stack.forward(x).shape == (2, 5, 3)
        assert stack.backward(np.ones((2, 5, 3))).shape == (5, 3)


class Inference(BatchNormalization):
    def forward(self, x: Any, train_flg: bool = False) -> Any:
        return super().forward(x, train_flg)


@pytest.mark.parametrize("layer", [BatchNormalization, Inference])
def test_it_stands_the_checks_of_layers(layer: type[BatchNormalization]) -> None:
    x, images, gamma, beta, mean = normal(8, (6, 3), (4, 3, 2, 2), (3,), (3,), (3,))
    for batch in (x, images):
        report = check_layer(layer(gamma, beta, 0.9, mean, np.exp(mean)), batch)
        assert report, str(report)


def test_arrays_of_two_libraries_are_refused() -> None:
    strict = make("strict")
    with pytest.raises(TypeError, match=r"arrays of one array-API library are wanted"):
        BatchNormalization(np.ones(3), np.ones(3), 0.9, strict.asarray(np.ones(3)))
