from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from folders import content
from test_training_history import HISTORY

from xpnet import TwoLayerNet, load_weights, onnx, save_weights
from xpnet.training import draw_curves


@pytest.mark.parametrize(("module", "extra", "call"), [
    ("safetensors.numpy", "train", lambda path: save_weights(path, TwoLayerNet(5, 4, 3))),
    ("safetensors.numpy", "train", lambda path: load_weights(path, TwoLayerNet(5, 4, 3))),
    ("matplotlib.figure", "train", lambda path: draw_curves(path, HISTORY)),
    ("ndonnx", "onnx", lambda path: onnx.export(TwoLayerNet(5, 4, 3), path, (5,))),
])
def test_without_an_optional_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, extra: str, call: Any
) -> None:
    library = module.partition(".")[0]
    for name in (module, library):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf"{library}, which is not installed.*xpnet\[{extra}\]"):
        call(tmp_path / "some.file")
    assert content(tmp_path) == {}
