from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ndonnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from in_onnxruntime import exported, session

import xpnet
from xpnet import MultiLayerNet, SoftmaxWithLoss, TwoLayerNet


def about(path: Path) -> Any:
    """Read it as a server would, by onnxruntime alone."""
    return json.loads(session(path).get_modelmeta().custom_metadata_map["xpnet"])


def test_network_layers_shapes_and_labels(tmp_path: Path) -> None:
    network = MultiLayerNet(6, [5], 3, use_batchnorm=True, seed=0, dtype="float32")
    network.last_layer = SoftmaxWithLoss(0.1, np.asarray([1.0, 2.0, 3.0], "float32"))
    found = about(exported(tmp_path, network, (6,), labels=["ant", "bee", "cat"], predictions=True))
    assert found == {
        "xpnet": xpnet.__version__,
        "network": "MultiLayerNet", "arguments": network.arguments,
        "loss": "SoftmaxWithLoss",
        "loss arguments": {"label_smoothing": 0.1, "class_weights": [1.0, 2.0, 3.0]},
        "layers": [
            {"name": "Affine1", "class": "Affine", "arrays": {"W1": [6, 5], "b1": [5]}},
            {"name": "BatchNormalization1", "class": "BatchNormalization", "arrays": {
                "gamma1": [5], "beta1": [5], "running_mean1": [5], "running_var1": [5]}},
            {"name": "Relu1", "class": "Relu", "arrays": {}},
            {"name": "Affine2", "class": "Affine", "arrays": {"W2": [5, 3], "b2": [3]}},
        ],
        "inputs": {"x": {"shape": ["N", 6], "dtype": "float32"}},
        "outputs": {"scores": {"shape": ["N", 3], "dtype": "float32"},
                    "predictions": {"shape": ["N", 3], "dtype": "float32"}},
        "labels": ["ant", "bee", "cat"],
    }


def test_the_model_says_who_made_it(tmp_path: Path) -> None:
    path = exported(tmp_path, TwoLayerNet(6, 5, 3, seed=0, dtype="float32"), (6,))
    found = session(path).get_modelmeta()
    assert (found.producer_name, found.graph_name) == ("xpnet", "TwoLayerNet")
    assert "labels" not in about(path)


@pytest.mark.parametrize(("labels", "plain"), [
    (np.asarray([7, 8, 9]), [7, 8, 9]), (np.asarray(["a", "b", "c"]), ["a", "b", "c"]), (range(3), [0, 1, 2]),
])
def test_labels_of_any_kind(tmp_path: Path, labels: Any, plain: list[Any]) -> None:
    path = exported(tmp_path, TwoLayerNet(6, 5, 3, seed=0, dtype="float32"), (6,), labels=labels)
    assert about(path)["labels"] == plain


@pytest.mark.parametrize(("labels", "error", "words"), [
    (["a", "b"], ValueError, "a label for each of 3 columns; got 2"),
    ("abc", TypeError, "strings or numbers; got 'abc'"),
    ([None, "b", "c"], TypeError, "strings or numbers; got"),
])
def test_wrong_labels(tmp_path: Path, labels: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        exported(tmp_path, TwoLayerNet(6, 5, 3, seed=0, dtype="float32"), (6,), labels=labels)
