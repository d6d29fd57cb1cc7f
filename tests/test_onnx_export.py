from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folders import content
from shell import ROOT
from variants import installed

pytest.importorskip("ndonnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from in_onnxruntime import exported

from xpnet import Affine, Network, Relu, SimpleConvNet, TwoLayerNet, get_backend
from xpnet.onnx import export

BYTES = """
import sys
from xpnet import DeepConvNet
from xpnet.onnx import export
network = DeepConvNet(input_dim=(1, 14, 14), hidden_size=7, seed=0, dtype=sys.argv[2])
export(network, sys.argv[1], (1, 14, 14), predictions=True)
"""


def network(dtype: str = "float32") -> TwoLayerNet:
    return TwoLayerNet(6, 5, 3, seed=0, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_network_makes_the_same_bytes(tmp_path: Path, dtype: str) -> None:
    """In other processes, whose sets are in another order, too."""
    files = [tmp_path / name for name in ("one.onnx", "two.onnx")]
    for seed, file in enumerate(files):
        env = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'backends'}", "PYTHONHASHSEED": str(seed)}
        subprocess.run([sys.executable, "-c", BYTES, file, dtype], check=True, env=env)
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(("shape", "words"), [
    (None, r"^export wants the input_shape of a network: of one row, as \(784,\)"),
    ((7,), r"^rows of shape \(7,\) do not go through this network: Affine1 wants x of shape \(N, 6\)"),
    ((2, 2), r"^rows of shape \(2, 2\) do not go through"),
    (("N", 6), "^export wants input_shape to be a list of whole numbers above 0"),
    (6, "^export wants input_shape to be a list of whole numbers above 0"),
    ((0,), "^export wants input_shape to be a list of whole numbers above 0"),
])
def test_wrong_shapes(tmp_path: Path, shape: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        export(network(), tmp_path / "model.onnx", shape)
    assert content(tmp_path) == {}


def test_rows_that_are_flattened(tmp_path: Path) -> None:
    assert exported(tmp_path, network(), (2, 3)).exists()


def test_images_that_are_too_small(tmp_path: Path) -> None:
    made = SimpleConvNet((1, 12, 12), seed=0, dtype="float32")
    with pytest.raises(ValueError, match=r"\(1, 4, 4\) do not go through.*larger than images of 4x4"):
        export(made, tmp_path / "model.onnx", (1, 4, 4))


def test_stacks_are_refused(tmp_path: Path) -> None:
    stack = TwoLayerNet(6, 5, 3, seed=[0, 1], dtype="float32")
    with pytest.raises(ValueError, match=r"this TwoLayerNet is a stack: export network\.member\(k\)"):
        export(stack, tmp_path / "model.onnx", (6,))
    alone = exported(tmp_path, TwoLayerNet(6, 5, 3, seed=1, dtype="float32"), (6,)).read_bytes()
    assert exported(tmp_path, stack.member(1), (6,)).read_bytes() == alone


@pytest.mark.skipif(not installed("torch"), reason="torch is not installed")
def test_other_dtypes_are_refused(tmp_path: Path) -> None:
    backend = get_backend("torch")
    W, b = (backend.namespace.ones(shape, dtype=backend.namespace.bfloat16) for shape in ((6, 3), (3,)))
    with pytest.raises(TypeError, match=r"float16, float32 or float64; got torch\.bfloat16"):
        export(Network([Affine(W, b)]), tmp_path / "model.onnx", (6,))


@pytest.mark.parametrize("model", [None, Relu(), {"W1": np.ones(3)}, "network"])
def test_what_is_no_model_is_refused(tmp_path: Path, model: Any) -> None:
    with pytest.raises(TypeError, match=r"export wants a Network, an estimator of xpnet\.sklearn, or a pipeline"):
        export(model, tmp_path / "model.onnx", (6,))


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "model.onnx"
    with pytest.raises(FileNotFoundError) as caught:
        export(network(), path, (6,))
    assert caught.value.filename == str(path)
    assert content(tmp_path) == {}


def test_what_was_there_stays_if_it_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = exported(tmp_path, network(), (6,))
    kept = content(tmp_path)

    def full(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left") as caught:
        export(TwoLayerNet(6, 4, 3, seed=0, dtype="float32"), path, (6,))
    assert caught.value.filename == str(path)
    assert content(tmp_path) == kept


def test_a_network_without_parameters_is_of_float32(tmp_path: Path) -> None:
    assert exported(tmp_path, Network([Relu()]), (4,)).exists()
