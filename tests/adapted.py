"""Every layer, loss and network with inputs, and the same in PyTorch's own functions, to be adapted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xpnet import layers, losses, networks
from xpnet.functional import dropout_mask
from xpnet.layers import Composite

RNG = np.random.default_rng(0)


def normal(*shape: int) -> Any:
    return RNG.standard_normal(shape)


ROWS, IMAGES = normal(4, 6), normal(4, 2, 6, 6)
CLASSES, ANSWERS, WEIGHTS = np.array([0, 2, 5, 1]), (ROWS > 0).astype("int64"), np.array([1.0, 0.5, 2.0, 0.0])


@dataclass(frozen=True)
class Case:
    """How to make a thing of NumPy's arrays, and what to call it with."""

    make: Callable[[], Any]
    inputs: tuple[Any, ...]


LAYERS: dict[str, Case] = {
    "Affine": Case(lambda: layers.Affine(normal(6, 5), normal(5)), (ROWS,)),
    "AveragePooling": Case(lambda: layers.AveragePooling(2, 3, stride=1, pad=1), (IMAGES,)),
    "BatchNormalization": Case(
        lambda: layers.BatchNormalization(normal(2), normal(2), 0.8, normal(2), 1 + normal(2)**2), (IMAGES,)),
    "Convolution": Case(lambda: layers.Convolution(normal(3, 2, 3, 2), normal(3), stride=2, pad=1), (IMAGES,)),
    "Dropout": Case(lambda: layers.Dropout(0.3, seed=5), (ROWS,)),
    "Flatten": Case(layers.Flatten, (IMAGES,)),
    "Gelu": Case(layers.Gelu, (ROWS,)),
    "GlobalAveragePooling": Case(layers.GlobalAveragePooling, (IMAGES,)),
    "LayerNormalization": Case(lambda: layers.LayerNormalization(normal(6), normal(6)), (ROWS,)),
    "LeakyRelu": Case(lambda: layers.LeakyRelu(0.2), (ROWS,)),
    "MaxPooling": Case(lambda: layers.MaxPooling(2, 2), (IMAGES,)),
    "Relu": Case(layers.Relu, (ROWS,)),
    "Residual": Case(lambda: layers.Residual(
        [layers.Affine(normal(6, 5), normal(5)), layers.Tanh()], layers.Affine(normal(6, 5), normal(5))), (ROWS,)),
    "Sequential": Case(lambda: layers.Sequential([
        layers.Convolution(normal(3, 2, 3, 3), normal(3)), layers.BatchNormalization(normal(3), normal(3)),
        layers.Relu(), layers.Dropout(0.2, seed=1), layers.Residual([layers.Dropout(0.4, seed=1)]),
        layers.Flatten(), layers.Affine(normal(48, 4), normal(4))]), (IMAGES,)),
    "Sigmoid": Case(layers.Sigmoid, (ROWS,)),
    "Silu": Case(layers.Silu, (ROWS,)),
    "Tanh": Case(layers.Tanh, (ROWS,)),
}
NO_LAYERS = {"Composite", "Layer", "Parameters", "RandomLayer"}
"""What `xpnet.layers` has besides."""

def off_the_kinks(net: Any) -> Any:
    """Move all parameters, so that no ReLU gets exactly 0, as from biases of 0 behind units that are dead."""
    net.params.update({name: p + 0.1 * normal(*p.shape) for name, p in net.params.items()})
    return net


SMALL: dict[str, Any] = {"dtype": "float64", "seed": 0}
NETWORKS: dict[str, Case] = {
    "DeepConvNet": Case(lambda: off_the_kinks(networks.DeepConvNet((1, 8, 8), hidden_size=5, output_size=3, **SMALL)),
                        (normal(2, 1, 8, 8),)),
    "MultiLayerNet": Case(lambda: off_the_kinks(networks.MultiLayerNet(
        6, [5, 4], 3, use_dropout=True, use_batchnorm=True, **SMALL)), (ROWS,)),
    "Network": Case(lambda: networks.Network([LAYERS["Sequential"].make(), layers.Tanh()]), (IMAGES,)),
    "SimpleConvNet": Case(lambda: off_the_kinks(networks.SimpleConvNet(
        (2, 6, 6), {"filter_num": 3, "filter_size": 3, "pad": 0, "stride": 1}, hidden_size=5, output_size=3,
        **SMALL)), (IMAGES,)),
    "TwoLayerNet": Case(lambda: off_the_kinks(networks.TwoLayerNet(6, 5, 4, "he", **SMALL)), (ROWS,)),
}

LOSSES: dict[str, list[Case]] = {
    "MeanSquaredError": [Case(losses.MeanSquaredError, (ROWS, normal(4, 6))),
                         Case(losses.MeanSquaredError, (ROWS, normal(4, 6), WEIGHTS))],
    "SigmoidWithLoss": [Case(losses.SigmoidWithLoss, (ROWS, ANSWERS)),
                        Case(losses.SigmoidWithLoss, (ROWS, ANSWERS, WEIGHTS))],
    "SoftmaxWithLoss": [
        Case(losses.SoftmaxWithLoss, (ROWS, CLASSES)),
        Case(losses.SoftmaxWithLoss, (ROWS, np.eye(6)[CLASSES], WEIGHTS)),
        Case(lambda: losses.SoftmaxWithLoss(0.1, np.arange(1.0, 7)), (ROWS, CLASSES))],
}

CASES = {**LAYERS, **NETWORKS}


def _torch_norm(leaf: Any, own: Any, x: Any, train: bool, torch: Any) -> Any:
    running = [torch.tensor(np.asarray(a)) for a in (leaf.running_mean, leaf.running_var)]
    return torch.nn.functional.batch_norm(
        x, *running, own["gamma"], own["beta"], training=train, momentum=0.0, eps=leaf.eps)


def _torch_dropout(leaf: Any, own: Any, x: Any, train: bool, torch: Any) -> Any:
    if not train:
        return x * (1 - leaf.dropout_ratio)
    counter = torch.tensor([leaf.seed, leaf.step], dtype=torch.int32)
    return x * dropout_mask(counter, leaf.stream, tuple(x.shape), leaf.dropout_ratio, x.dtype)


IN_TORCH: dict[str, Callable[[Any, Mapping[str, Any], Any, bool, Any], Any]] = {
    "Affine": lambda leaf, own, x, train, torch: x.flatten(1) @ own["W"] + own["b"],
    "AveragePooling": lambda leaf, own, x, train, torch: torch.nn.functional.avg_pool2d(x, (2, 3), 1, 1),
    "BatchNormalization": _torch_norm,
    "Convolution": lambda leaf, own, x, train, torch: torch.nn.functional.conv2d(
        x, own["W"], own["b"], leaf.stride, leaf.pad),
    "Dropout": _torch_dropout,
    "Flatten": lambda leaf, own, x, train, torch: x.flatten(1),
    "Gelu": lambda leaf, own, x, train, torch: torch.nn.functional.gelu(x, approximate="tanh"),
    "GlobalAveragePooling": lambda leaf, own, x, train, torch: x.mean((-2, -1)),
    "LayerNormalization": lambda leaf, own, x, train, torch: torch.nn.functional.layer_norm(
        x, x.shape[1:], own["gamma"], own["beta"], leaf.eps),
    "LeakyRelu": lambda leaf, own, x, train, torch: torch.nn.functional.leaky_relu(x, 0.2),
    "MaxPooling": lambda leaf, own, x, train, torch: torch.nn.functional.max_pool2d(x, 2, 2),
    "Relu": lambda leaf, own, x, train, torch: torch.relu(x),
    "Sigmoid": lambda leaf, own, x, train, torch: torch.sigmoid(x),
    "Silu": lambda leaf, own, x, train, torch: torch.nn.functional.silu(x),
    "Tanh": lambda leaf, own, x, train, torch: torch.tanh(x),
}
"""Layers in PyTorch's functions, by the names of their classes: of the layer, its parameters and x."""


def in_torch(layer: Any, params: Mapping[str, Any], x: Any, train: bool) -> Any:
    """Compute what a layer or network does by PyTorch's own functions, with these parameters."""
    import torch

    leaves = layer.leaves() if isinstance(layer, Composite) else [layer]
    counts: Counter[str] = Counter()
    own = {}
    for leaf in leaves:
        counts.update(leaf.param_ndims.keys())
        number = counts if isinstance(layer, Composite) else {}
        own[id(leaf)] = {name: params[f"{name}{number.get(name, '')}"] for name in leaf.param_ndims}

    def go(part: Any, x: Any) -> Any:
        if isinstance(part, layers.Residual):
            past = part.layers.get("shortcut")
            return go(part.layers["body"], x) + (x if past is None else go(past, x))
        if isinstance(part, Composite):
            for one in part.layers.values():
                x = go(one, x)
            return x
        return IN_TORCH[type(part).__name__](part, own[id(part)], x, train, torch)

    return go(layer, x)


def loss_in_torch(loss: Any, x: Any, t: Any, weight: Any = None) -> Any:
    """Compute a loss by PyTorch's own functions."""
    import torch

    f = torch.nn.functional
    if isinstance(loss, losses.SoftmaxWithLoss):
        of_classes = None if loss.class_weights is None else torch.tensor(loss.class_weights)
        if weight is None:
            return f.cross_entropy(x, t, of_classes, label_smoothing=loss.label_smoothing)
        each = f.cross_entropy(x, t, reduction="none")
    else:
        name = "mse_loss" if isinstance(loss, losses.MeanSquaredError) else "binary_cross_entropy_with_logits"
        each = getattr(f, name)(x, t.to(x.dtype), reduction="none").mean(-1)
        if weight is None:
            return each.mean()
    return (each * weight).sum() / weight.sum()
