from __future__ import annotations

import numpy as np
import pytest
from variants import Variant, installed

from xpnet import Affine


def layer(xp: Variant) -> Affine:
    return Affine(xp.asarray(np.ones((4, 2))), xp.asarray(np.zeros(2)))


def test_subtracting_in_place_trains_on_every_library(eager: Variant) -> None:
    affine = layer(eager)
    before = affine.W
    affine.params["W"] -= 0.25 * eager.asarray(np.ones((4, 2)))
    eager.check(affine.W, np.full((4, 2), 0.75))
    eager.check(affine.forward(eager.asarray(np.ones((1, 4)))), [[3.0, 3.0]])
    mutable = eager.backend.name != "jax"
    assert (affine.W is before) == mutable  # in place where it can be


def test_assigning_rebinds(eager: Variant) -> None:
    affine = layer(eager)
    new = eager.asarray(np.full((4, 2), 3.0))
    affine.params["W"] = new
    assert affine.W is new
    affine.params.update({"b": eager.asarray(np.ones(2))})
    eager.check(affine.b, [1.0, 1.0])


def test_another_shape_or_dtype_is_refused(eager: Variant) -> None:
    affine = layer(eager)
    for wrong in (np.ones((2, 4)), np.ones((1, 4, 2)), np.ones((4, 2), np.float32)):
        with pytest.raises(ValueError, match=r'"W" is of shape \(4, 2\) and dtype .*float64; got'):
            affine.params["W"] = eager.asarray(wrong)
    eager.check(affine.W, np.ones((4, 2)))


def test_another_library_is_refused(eager: Variant) -> None:
    if eager.backend.name == "numpy":
        pytest.skip("NumPy's own arrays fit")
    with pytest.raises(TypeError, match="arrays of one array-API library"):
        layer(eager).params["W"] = np.ones((4, 2))


def test_what_is_no_array_or_elsewhere_is_refused(eager: Variant) -> None:
    for wrong in (0.0, None, [1.0, 2.0]):
        with pytest.raises(TypeError, match='parameter "b" is an array; got'):
            layer(eager).params["b"] = wrong


@pytest.mark.skipif(not installed("torch"), reason="torch is not installed")
def test_another_device_or_an_autograd_tape_is_refused() -> None:
    import torch

    affine = Affine(torch.ones(4, 2), torch.zeros(2))
    with pytest.raises(ValueError, match='parameter "b" is on cpu; got one on meta'):
        affine.params["b"] = torch.zeros(2, device="meta")
    with pytest.raises(TypeError, match=r'parameter "b" .* requires_grad=True'):
        affine.params["b"] = torch.zeros(2, requires_grad=True)
    with pytest.raises(TypeError, match=r'parameter "b" .* requires_grad=True'):
        affine.bind({"b": torch.zeros(2, requires_grad=True)})


@pytest.mark.skipif(not installed("jax"), reason="jax is not installed")
def test_a_tracer_is_refused() -> None:
    import jax

    affine = Affine(jax.numpy.ones((4, 2)), jax.numpy.zeros(2))
    with pytest.raises(TypeError, match=r'parameter "b" got a tracer .* bind it instead'):
        jax.jit(lambda b: affine.params.update(b=b))(jax.numpy.zeros(2))


def test_names(eager: Variant) -> None:
    params = layer(eager).params
    with pytest.raises(KeyError, match="no parameter 'V'; there are W, b"):
        params["V"]
    with pytest.raises(KeyError, match="no parameter 'V'; there are W, b"):
        params["V"] = params["W"]
    with pytest.raises(TypeError, match="belongs to a layer"):
        del params["W"]
    assert len(params) == 2
    assert "(4, 2)" in repr(params)
