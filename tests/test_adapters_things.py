from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from adapted import IN_TORCH, LAYERS, LOSSES, NETWORKS, NO_LAYERS

from xpnet import Affine, Relu, adapters, layers, losses, networks
from xpnet.adapters.things import drawing, parts


def test_every_layer_loss_and_network_has_a_case() -> None:
    assert set(LAYERS) == {*layers.__all__} - NO_LAYERS
    assert set(IN_TORCH) == {*LAYERS} - {"Residual", "Sequential"}
    assert set(LOSSES) == {*losses.__all__} - {"Loss"}
    assert set(NETWORKS) == {*networks.__all__}


@pytest.mark.parametrize(("call", "library"), [
    (lambda: adapters.to_torch(Relu()), "torch"),
    (lambda: adapters.from_torch(None), "torch"),
    (lambda: adapters.to_jax(Relu()), "jax"),
    (lambda: adapters.from_jax(lambda params, x: x, {}), "jax"),
])
def test_without_the_library_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, call: Any, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=rf"{library}, which is not installed.*xpnet\[{library}\]"):
        call()


@pytest.mark.parametrize("thing", [Relu, 3, None, lambda x: x, np.ones(2)])
@pytest.mark.parametrize("name", ["to_torch", "to_jax"])
def test_what_is_no_layer_is_refused(name: str, thing: Any) -> None:
    pytest.importorskip(name[3:])
    with pytest.raises(TypeError, match=rf"{name} wants a layer, a network or a loss of xpnet.*; got"):
        getattr(adapters, name)(thing)


def test_parts() -> None:
    net = NETWORKS["Network"].make()
    assert [type(part).__name__ for part in parts(net)] == [
        "Network", "Sequential", "Convolution", "BatchNormalization", "Relu", "Dropout", "Residual",
        "Sequential", "Dropout", "Flatten", "Affine", "Tanh"]
    assert [leaf.stream for leaf in drawing(net)] == [0, 1]
    assert drawing(Affine(np.ones((2, 2)), np.ones(2))) == []
    assert [*parts(loss := losses.MeanSquaredError())] == [loss]
