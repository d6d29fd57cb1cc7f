from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("ndonnx", reason="the extra onnx is not installed")

import onnx

from xpnet.functional._array import array_namespace
from xpnet.onnx import graph as graphs
from xpnet.onnx.graph import Graph

FLOAT32 = np.dtype("float32")


def ops(model: Any) -> list[str]:
    return [node.op_type for node in model.graph.node]


def test_constants_are_initializers_with_their_names() -> None:
    graph = Graph((2,), FLOAT32)
    W = graph.constant("W", np.asarray([[1, 2], [3, 4]], "float32").T)
    model = graph.model({"y": graph.x + W})
    assert [i.name for i in model.graph.input] == ["x"]
    assert [i.name for i in model.graph.initializer] == ["W"]
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(model.graph.initializer[0]), [[1, 3], [2, 4]])


def test_constants_that_are_not_used_are_left_out() -> None:
    graph = Graph((2,), FLOAT32)
    graph.constant("W", np.ones(2, "float32"))
    assert not graph.model({"y": graph.x + 1}).graph.initializer


def test_strings() -> None:
    graph = Graph((), np.dtype("int64"))
    names = graph.constant("names", np.asarray(["a", "ü"], object))
    model = graph.model({"y": array_namespace(names).take(names, graph.x)})
    assert list(onnx.numpy_helper.to_array(model.graph.initializer[0])) == ["a", "ü"]


def test_outputs_are_given_without_a_copy() -> None:
    graph = Graph((2,), FLOAT32)
    xp = array_namespace(graph.x)
    y = xp.exp(graph.x)
    model = graph.model({"y": y, "z": xp.sqrt(y)})
    assert ops(model) == ["Exp", "Sqrt"]
    assert [o.name for o in model.graph.output] == ["y", "z"]
    onnx.checker.check_model(model, full_check=True)


def test_what_is_given_twice_is_copied_once() -> None:
    graph = Graph((2,), FLOAT32)
    y = array_namespace(graph.x).exp(graph.x)
    model = graph.model({"y": y, "z": y, "x again": graph.x})
    assert sorted(ops(model)) == ["Exp", "Identity", "Identity"]
    onnx.checker.check_model(model, full_check=True)


def test_names_within_subgraphs_follow() -> None:
    graph = Graph((2,), FLOAT32)
    W = graph.constant("W", np.ones((2, 2), "float32"))
    xp = array_namespace(graph.x)
    y = xp.exp(graph.x)
    model = graph.model({"y": y, "z": xp.matmul(y, W)})  # ndonnx asks within `If` whether it is empty
    assert "If" in ops(model)
    assert "Identity" in ops(model)  # that of ndonnx's own function, which is no output
    onnx.checker.check_model(model, full_check=True)


def test_too_large_for_the_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "MOST", 7)
    graph = Graph((2,), FLOAT32)
    y = graph.x + graph.constant("W", np.ones(2, "float32"))
    with pytest.raises(ValueError, match="more than the two gigabytes"):
        graph.model({"y": y})
