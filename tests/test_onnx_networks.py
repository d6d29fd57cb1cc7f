from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from variants import make, params

pytest.importorskip("ndonnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from in_onnxruntime import ROWS, TOLERANCES, close, exported, rows, run, session

import xpnet.layers
import xpnet.losses
import xpnet.networks
from xpnet import (
    Affine,
    AveragePooling,
    BatchNormalization,
    Convolution,
    DeepConvNet,
    Dropout,
    Flatten,
    Gelu,
    GlobalAveragePooling,
    LayerNormalization,
    LeakyRelu,
    MaxPooling,
    MeanSquaredError,
    MultiLayerNet,
    Network,
    Relu,
    Residual,
    Sequential,
    Sigmoid,
    SigmoidWithLoss,
    Silu,
    SimpleConvNet,
    SoftmaxWithLoss,
    Tanh,
    TwoLayerNet,
)
from xpnet.layers import Layer
from xpnet.losses import Loss

Draw = Callable[..., Any]
Case = tuple[str, tuple[int, ...], Callable[[Draw], Layer | Sequence[Layer]]]


def normalization(draw: Draw, channels: int) -> list[Any]:
    return [draw(channels), draw(channels), 0.9, draw(channels), draw(channels) ** 2]


LAYERS: Mapping[type[Layer], Sequence[tuple[tuple[int, ...], Callable[[Draw], Any]]]] = {
    # the shape of a row, and the layer, of arrays that are drawn
    Affine: [((5,), lambda draw: Affine(draw(5, 4), draw(4))),
             ((2, 3, 4), lambda draw: Affine(draw(24, 5), draw(5)))],
    AveragePooling: [((2, 5, 6), lambda draw: AveragePooling(2, 3)),
                     ((2, 5, 6), lambda draw: AveragePooling(3, 2, stride=(1, 2), pad=(1, 0))),
                     ((1, 4, 4), lambda draw: AveragePooling(1, 1, stride=1))],
    BatchNormalization: [((4,), lambda draw: BatchNormalization(*normalization(draw, 4))),
                         ((4,), lambda draw: BatchNormalization(draw(4), draw(4), eps=1e-3)),
                         ((3, 4, 5), lambda draw: BatchNormalization(*normalization(draw, 3)))],
    Convolution: [((2, 6, 5), lambda draw: Convolution(draw(3, 2, 3, 2), draw(3))),
                  ((2, 6, 5), lambda draw: Convolution(draw(3, 2, 3, 3), draw(3), stride=(2, 1), pad=(1, 2))),
                  ((2, 3, 3), lambda draw: Convolution(draw(4, 2, 1, 1), draw(4), stride=2)),
                  ((1, 3, 3), lambda draw: Convolution(draw(4, 1, 5, 5), draw(4), pad=1))],
    Dropout: [((5,), lambda draw: Dropout(0.3)), ((2, 3, 4), lambda draw: Dropout(0.3))],
    Flatten: [((2, 3, 4), lambda draw: Flatten()), ((2, 3, 4), lambda draw: Flatten(2)),
              ((5,), lambda draw: Flatten(1))],
    Gelu: [((5,), lambda draw: Gelu()), ((2, 3, 4), lambda draw: Gelu())],
    GlobalAveragePooling: [((2, 3, 4), lambda draw: GlobalAveragePooling())],
    LayerNormalization: [((6,), lambda draw: LayerNormalization(draw(6), draw(6))),
                         ((3, 6), lambda draw: LayerNormalization(draw(6), draw(6), eps=1e-2))],
    LeakyRelu: [((5,), lambda draw: LeakyRelu()), ((2, 3, 4), lambda draw: LeakyRelu(0.3))],
    MaxPooling: [((2, 5, 6), lambda draw: MaxPooling(2, 3)),
                 ((2, 5, 6), lambda draw: MaxPooling(3, 2, stride=(1, 2), pad=(1, 1))),
                 ((1, 4, 4), lambda draw: MaxPooling(1, 1, stride=1))],
    Relu: [((5,), lambda draw: Relu()), ((2, 3, 4), lambda draw: Relu())],
    Residual: [((4,), lambda draw: Residual([Affine(draw(4, 4), draw(4)), Relu()])),
               ((2, 4, 4), lambda draw: Residual(
                   [Convolution(draw(3, 2, 3, 3), draw(3), pad=1), BatchNormalization(*normalization(draw, 3))],
                   shortcut=Convolution(draw(3, 2, 1, 1), draw(3))))],
    Sequential: [((2, 4, 4), lambda draw: Sequential([
        Convolution(draw(3, 2, 3, 3), draw(3)), Relu(), MaxPooling(2, 2), Affine(draw(3, 2), draw(2))]))],
    Sigmoid: [((5,), lambda draw: Sigmoid()), ((2, 3, 4), lambda draw: Sigmoid())],
    Silu: [((5,), lambda draw: Silu()), ((2, 3, 4), lambda draw: Silu())],
    Tanh: [((5,), lambda draw: Tanh()), ((2, 3, 4), lambda draw: Tanh())],
}
NETWORKS: Mapping[type[Network], Sequence[tuple[tuple[int, ...], Mapping[str, Any]]]] = {
    DeepConvNet: [((1, 14, 14), {"input_dim": (1, 14, 14), "hidden_size": 7, "output_size": 4})],
    MultiLayerNet: [((6,), {"input_size": 6, "hidden_size_list": [5, 4], "output_size": 3, "activation": activation,
                            "use_dropout": True, "use_batchnorm": True})
                    for activation in ("relu", "sigmoid", "tanh", "leaky_relu", "gelu", "silu")],
    SimpleConvNet: [((1, 12, 12), {"input_dim": (1, 12, 12), "hidden_size": 7, "output_size": 4})],
    TwoLayerNet: [((6,), {"input_size": 6, "hidden_size": 5, "output_size": 3})],
}
LOSSES: Mapping[type[Loss], Callable[[], Loss]] = {
    MeanSquaredError: MeanSquaredError, SigmoidWithLoss: SigmoidWithLoss,
    SoftmaxWithLoss: lambda: SoftmaxWithLoss(0.1, [1.0, 2.0, 3.0, 4.0]),
}


def drawing(dtype: str) -> Draw:
    rng = np.random.default_rng(0)
    return lambda *shape: rng.standard_normal(shape).astype(dtype)


def concrete(module: Any, base: type) -> set[type]:
    found = (getattr(module, name) for name in module.__all__)
    return {each for each in found if issubclass(each, base) and not inspect.isabstract(each)} - {Network}


@pytest.mark.parametrize(("module", "base", "cases"), [
    (xpnet.layers, Layer, LAYERS), (xpnet.networks, Network, NETWORKS), (xpnet.losses, Loss, LOSSES),
])
def test_there_is_a_case_for_each_class(module: Any, base: type, cases: Mapping[type, Any]) -> None:
    assert concrete(module, base) == {*cases}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("shape", "layer"), [case for cases in LAYERS.values() for case in cases], ids=[
    f"{kind.__name__}{k}" for kind, cases in LAYERS.items() for k in range(len(cases))])
def test_layers(tmp_path: Path, dtype: str, shape: tuple[int, ...], layer: Any) -> None:
    draw = drawing(dtype)
    # An Affine or Convolution of ones behind it gives the dtype to those without parameters.
    network = Network([layer(draw)], MeanSquaredError())
    if not network.params and dtype != "float32":
        channels = shape[0]
        eye = np.eye(channels, dtype=dtype)
        b = np.zeros(channels, dtype)
        before = Affine(eye, b) if len(shape) == 1 else Convolution(eye[:, :, None, None], b)
        network = Network([before, layer(draw)], MeanSquaredError())
    path = exported(tmp_path, network, shape)
    for n in ROWS:
        x = rows(n, shape, dtype)
        close(run(path, x)["scores"], network.predict(x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("kind", "shape", "arguments"), [
    pytest.param(kind, *case, id=f"{kind.__name__}{k}")
    for kind, cases in NETWORKS.items() for k, case in enumerate(cases)])
def test_networks(tmp_path: Path, dtype: str, kind: Any, shape: tuple[int, ...], arguments: Any) -> None:
    network = kind(**arguments, seed=0, dtype=dtype)
    path = exported(tmp_path, network, shape, predictions=True)
    for n in ROWS:
        x = rows(n, shape, dtype)
        scores = network.predict(x)
        found = run(path, x)
        close(found["scores"], scores)
        close(found["predictions"], network.last_layer.predictions(scores))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("loss", LOSSES.values(), ids=[kind.__name__ for kind in LOSSES])
def test_predictions(tmp_path: Path, dtype: str, loss: Callable[[], Loss]) -> None:
    draw = drawing(dtype)
    network = Network([Affine(10 * draw(5, 4), draw(4))], loss())
    path = exported(tmp_path, network, (5,), predictions=True)
    for n in ROWS:
        x = rows(n, (5,), dtype)
        found = run(path, x)
        expected = network.last_layer.predictions(found["scores"])
        # onnxruntime goes on with float16's scores as they were in float32, before they were rounded.
        rounding = np.max(np.abs(found["scores"]), initial=1) if dtype == "float16" else 1
        close(found["predictions"], expected, TOLERANCES[dtype] * float(rounding))


@pytest.mark.parametrize("variant", params("numpy-readonly", "strict", "torch", "jax", "cupy"))
def test_networks_of_every_library(tmp_path: Path, variant: str) -> None:
    backend = make(variant).backend
    arguments = {"input_size": 6, "hidden_size_list": [5], "output_size": 3, "use_batchnorm": True}
    host, other = (MultiLayerNet(**arguments, seed=0, backend=each, dtype="float32")  # type: ignore[arg-type]
                   for each in ("numpy", backend))
    first, second = exported(tmp_path, host, (6,)).read_bytes(), exported(tmp_path, other, (6,)).read_bytes()
    assert first == second


def test_non_contiguous_parameters(tmp_path: Path) -> None:
    draw = drawing("float32")
    network = Network([Affine(draw(4, 5).T, draw(8)[::2])], MeanSquaredError())
    x = rows(3, (5,))
    close(run(exported(tmp_path, network, (5,)), x)["scores"], network.predict(x))


def test_nan_stays_nan(tmp_path: Path) -> None:
    draw = drawing("float32")
    network = Network([Affine(draw(5, 4), draw(4)), Relu(), Affine(draw(4, 3), draw(3))])
    x = rows(3, (5,))
    x[1, 2] = np.nan
    found = run(exported(tmp_path, network, (5,), predictions=True), x)
    for y in found.values():
        assert np.isnan(y).tolist() == [[False] * 3, [True] * 3, [False] * 3]


def test_a_network_of_ones_own_layers(tmp_path: Path) -> None:
    class Doubled(Layer):
        def forward(self, x: Any) -> Any:
            return 2 * x

        def backward(self, dout: Any) -> Any:
            return 2 * dout

    draw = drawing("float32")
    network = Network([Affine(draw(5, 4), draw(4)), Doubled()], MeanSquaredError())
    x = rows(3, (5,))
    close(run(exported(tmp_path, network, (5,)), x)["scores"], network.predict(x))


def test_a_predict_of_ones_own(tmp_path: Path) -> None:
    class Shifted(Network):
        def predict(self, x: Any, train_flg: bool = False) -> Any:
            return super().predict(x, train_flg) + 1

    draw = drawing("float32")
    network = Shifted([Affine(draw(5, 4), draw(4))], MeanSquaredError())
    x = rows(3, (5,))
    close(run(exported(tmp_path, network, (5,)), x)["scores"], network.predict(x))


def test_the_network_stays_as_it_is(tmp_path: Path) -> None:
    x, t = rows(7, (6,), "float64"), np.arange(7) % 3

    def made() -> MultiLayerNet:
        network = MultiLayerNet(6, [5], 3, use_batchnorm=True, use_dropout=True, seed=0, dtype="float64")
        network.gradient(x, t)
        return network

    network, other = made(), made()
    held = {**network.params, **network.state}
    kept = {name: a.copy() for name, a in held.items()}
    exported(tmp_path, network, (6,))
    assert all({**network.params, **network.state}[name] is a for name, a in held.items())
    assert all(np.array_equal(a, kept[name]) for name, a in held.items())
    expected = other.gradient(x, t)  # with the masks that are next
    for name, gradient in network.gradient(x, t).items():
        np.testing.assert_array_equal(gradient, expected[name])


def test_what_a_file_takes(tmp_path: Path) -> None:
    """The weights and two kilobytes: no function for empty matrices, no weights twice."""
    network = TwoLayerNet(784, 50, 10, seed=0, dtype="float32")
    size = exported(tmp_path, network, (784,)).stat().st_size
    weights = sum(p.nbytes for p in network.params.values())
    assert weights < size < weights + 2000


def test_input_and_output(tmp_path: Path) -> None:
    found = session(exported(tmp_path, TwoLayerNet(6, 5, 3, seed=0, dtype="float32"), (6,)))
    assert [(i.name, i.shape, i.type) for i in found.get_inputs()] == [("x", ["N", 6], "tensor(float)")]
    assert [(o.name, o.shape, o.type) for o in found.get_outputs()] == [("scores", ["N", 3], "tensor(float)")]
