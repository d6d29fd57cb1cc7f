"""onnxruntime, which predicts."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.work import Array, Work

__all__ = ["predictor"]


def model_of(work: Work) -> bytes:
    """Describe the network in ONNX."""
    nodes, constants, name = [], [], "x"
    last = len(work.sizes) - 1
    for k, (W, b) in enumerate(work.weights(), start=1):
        constants += [numpy_helper.from_array(W, f"W{k}"), numpy_helper.from_array(b, f"b{k}")]
        nodes.append(helper.make_node("Gemm", [name, f"W{k}", f"b{k}"], [f"z{k}"]))
        name = f"z{k}"
        if k < last:
            nodes.append(helper.make_node("Relu", [name], [f"h{k}"]))
            name = f"h{k}"
    ends = [helper.make_tensor_value_info(end, TensorProto.FLOAT, ["N", size])
            for end, size in (("x", work.sizes[0]), (name, work.sizes[-1]))]
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], constants)
    # Versions that runtimes of some years have known.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def predictor(work: Work, rows: int, threads: int) -> dict[str, Any]:
    """Give functions of `x (rows, D)` that predict."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model_of(work), options, providers=["CPUExecutionProvider"])

    def predict(x: Array) -> Array:
        return np.asarray(session.run(None, {"x": x})[0])

    return {"onnxruntime": predict}
