from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from autograd import gradients
from numpy.typing import NDArray
from variants import Variant, installed, make

from xpnet.layers import LayerNormalization
from xpnet.testing import check_layer

EPS = 0.01


def normal(seed: int, *shapes: tuple[int, ...]) -> list[NDArray[Any]]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) + 0.5 for shape in shapes]


def forward_backward(x: Any, gamma: Any, beta: Any, dout: Any) -> Any:
    layer = LayerNormalization(gamma, beta, eps=EPS).bind({})
    return layer.forward(x), layer.backward(dout), layer.dgamma, layer.dbeta


def torch_layer_norm(torch: Any, x: Any, gamma: Any, beta: Any) -> Any:
    return torch.nn.functional.layer_norm(x, x.shape[-1:], gamma, beta, eps=EPS)


@pytest.mark.parametrize("shape", [(4, 6), (3, 2, 6), (0, 6)])
def test_forward_and_backward_are_autograds(xp: Variant, shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    x, gamma, beta, dout = normal(0, shape, (6,), (6,), shape)
    y = torch_layer_norm(torch, *map(torch.asarray, (x, gamma, beta))).numpy()
    expected = gradients(torch_layer_norm, dout, (x, gamma, beta))
    xp.check_all(xp.run(forward_backward, x, gamma, beta, dout), (y, *expected), rtol=1e-10,
                 atol=1e-13)


@pytest.mark.parametrize("shape", [(4, 6), (1, 4, 6), (2, 4, 6), (2, 4, 2, 6)])
def test_a_stack_equals_its_members(xp: Variant, shape: tuple[int, ...]) -> None:
    own = shape if len(shape) == 2 else shape[1:]
    x, gamma, beta, dout = normal(1, shape, (2, 6), (2, 6), (2, *own))
    each = np.broadcast_to(x, dout.shape)
    members = [forward_backward(each[k], gamma[k], beta[k], dout[k]) for k in range(2)]
    expected = [np.stack(a) for a in zip(*members, strict=True)]
    if x.ndim == 2:
        expected[1] = expected[1].sum(0)
    xp.check_all(xp.run(forward_backward, x, gamma, beta, dout), expected, rtol=1e-11, atol=1e-13)


def test_either_parameter_makes_a_stack(eager: Variant) -> None:
    for shape in ((2, 4, 6), (2, 4, 3, 6)):
        x, gamma, beta, dout = normal(4, shape, (6,), (2, 6), shape)
        members = [forward_backward(x[k], gamma, beta[k], dout[k]) for k in range(2)]
        y, dx, dgamma, dbeta = (np.stack(a) for a in zip(*members, strict=True))
        layer = LayerNormalization(eager.asarray(gamma), eager.asarray(beta), eps=EPS)
        found = layer.forward(eager.asarray(x)), layer.backward(eager.asarray(dout))
        eager.check_all((*found, layer.dgamma, layer.dbeta), (y, dx, dgamma.sum(0), dbeta),
                        rtol=1e-11, atol=1e-13)


def test_a_backends_kernels_compute_what_is_not_stacked() -> None:
    shapes = []

    def layer_normalization(x: Any, gamma: Any, beta: Any, **_: Any) -> Any:
        shapes.append((x.shape, gamma.shape, beta.shape))
        return x, x, x

    c, kernels = np.ones(6), {"layer_normalization": layer_normalization}
    for x in (np.ones((4, 6)), np.ones((4, 3, 6))):
        LayerNormalization(c, c).with_kernels(kernels).forward(x)
    assert shapes == [((4, 6), (6,), (6,)), ((4, 3, 6), (6,), (6,))]
    LayerNormalization(c, np.ones((2, 6))).with_kernels(kernels).forward(np.ones((4, 6)))
    assert len(shapes) == 2


def test_the_arrays_given_are_the_layers_own(eager: Variant) -> None:
    gamma, beta = eager.asarray(np.ones(6)), eager.asarray(np.zeros(6))
    layer = LayerNormalization(gamma, beta)
    assert layer.params["gamma"] is gamma
    assert layer.params["beta"] is beta
    assert len(layer.state) == 0
    assert not layer.has_train_flg
    y = layer.forward(eager.asarray([[1.0, -1, 1, -1, 1, -1]]))
    eager.check(y, np.array([[1.0, -1, 1, -1, 1, -1]]) / np.sqrt(1 + 1e-5), rtol=1e-14)


def test_numpys_numbers_leave_the_dtype(eager: Variant) -> None:
    c, x = (eager.asarray(np.ones(shape, "float32")) for shape in ((3,), (7, 3)))
    layer = LayerNormalization(c, c, eps=np.float64(1e-5))
    assert layer.forward(x).dtype == layer.backward(x).dtype == c.dtype


def test_without_eps() -> None:
    (x,) = normal(2, (4, 6))
    y = LayerNormalization(np.ones(6), np.zeros(6), eps=0).forward(x)
    expected = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    np.testing.assert_allclose(y, expected, rtol=1e-12)


@pytest.mark.parametrize(("stack", "shape"), [
    ((), (4, 5)), ((), (6,)), ((2,), (3, 4, 6)), ((2,), (4, 5)), ((2, 2), (4, 4, 6)), ((2,), (6,)),
])
def test_an_input_that_does_not_fit_names_the_layer(
    eager: Variant, stack: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    layer = LayerNormalization(*(eager.asarray(np.ones((*stack, 6))) for _ in range(2)))
    layer.name = "LayerNormalization1"
    rows = ", ".join([*map(str, stack), "N"])
    message = f"LayerNormalization1 wants x of shape (N, 6) or ({rows}, …, 6); got {shape}"
    with pytest.raises(ValueError, match=re.escape(message)):
        layer.forward(eager.asarray(np.ones(shape)))


def test_what_a_constructor_refuses(eager: Variant) -> None:
    c, d = eager.asarray(np.ones(6)), eager.asarray(np.ones(4))
    scalar = eager.asarray(np.ones(()))
    for arrays in ((c, d), (c, scalar), (scalar, c)):
        with pytest.raises(ValueError, match=r"LayerNormalization wants gamma and beta of shape \(…, D"):
            LayerNormalization(*arrays)
    with pytest.raises(ValueError, match=r"one stack; got gamma \(2, 6\) and beta \(3, 6\)"):
        LayerNormalization(*(eager.asarray(np.ones((k, 6))) for k in (2, 3)))
    with pytest.raises(TypeError, match=r"one dtype; got .*float64 and .*float32"):
        LayerNormalization(c, eager.asarray(np.ones(6, "float32")))
    integers = eager.asarray(np.ones(6, "int64"))
    with pytest.raises(TypeError, match=r"LayerNormalization wants a real floating dtype; got .*int64"):
        LayerNormalization(integers, integers)
    with pytest.raises(ValueError, match=r"wants eps of 0 or more; got -1"):
        LayerNormalization(c, c, eps=-1)
    with pytest.raises(TypeError, match=r"wants eps to be a number; got '0'"):
        LayerNormalization(c, c, eps="0")  # type: ignore[arg-type]
    layer = LayerNormalization(c, c)
    with pytest.raises(RuntimeError, match=r"LayerNormalization.backward wants a forward before it"):
        layer.backward(c)
    layer.forward(eager.asarray(np.ones((1, 4, 6))))
    with pytest.raises(ValueError, match=r"wants dout of shape \(1, 4, 6\); got \(7, 4, 6\)"):
        layer.backward(eager.asarray(np.ones((7, 4, 6))))


@pytest.mark.skipif(not installed("torch"), reason="torch is not installed")
def test_arrays_on_an_autograd_tape_are_refused() -> None:
    import torch

    c = torch.ones(3)
    with pytest.raises(TypeError, match=r"LayerNormalization .* requires_grad=True: pass x.detach"):
        LayerNormalization(c, c.clone().requires_grad_())
    with pytest.raises(TypeError, match=r"LayerNormalization .* requires_grad=True: pass x.detach"):
        LayerNormalization(c, c).forward(torch.ones((7, 3), requires_grad=True))


def test_it_stands_the_checks_of_layers() -> None:
    x, deeper, gamma, beta = normal(3, (6, 5), (4, 3, 5), (5,), (5,))
    for batch in (x, deeper):
        report = check_layer(LayerNormalization(gamma, beta), batch)
        assert report, str(report)


def test_arrays_of_two_libraries_are_refused() -> None:
    strict = make("strict")
    with pytest.raises(TypeError, match=r"arrays of one array-API library are wanted"):
        LayerNormalization(np.ones(3), strict.asarray(np.ones(3)))
