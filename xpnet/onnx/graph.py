"""What is traced: an input, constants with names, and the ONNX model that comes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.functional._array import Array
from xpnet.onnx.libraries import ndonnx, onnx

__all__ = ["Graph"]

BATCH = "N"
"""What ONNX calls the length of the first axis, which is not known before."""
MOST = 2**31 - 2**20
"""Bytes of constants, and a megabyte for the rest: protobuf's messages are below two gigabytes."""


class Graph:
    """An input "x" of any number of rows, and constants, as arrays of ndonnx.

    Constants are traced as inputs, and become what ONNX calls initializers: so they keep their names, and
    nothing is computed from them while tracing.

    Parameters
    ----------
    shape : sequence of int
        Of a row.
    dtype : dtype
        NumPy's, of the rows.

    Attributes
    ----------
    x : array
        The input, `(N, …)`.
    """

    def __init__(self, shape: Sequence[int], dtype: np.dtype[Any]) -> None:
        self.x = _argument((BATCH, *shape), dtype)
        self._constants: dict[str, tuple[Array, NDArray[Any]]] = {}

    def constant(self, name: str, value: NDArray[Any]) -> Array:
        """Give an array that will have this value."""
        array = _argument(value.shape, value.dtype)
        self._constants[name] = array, value
        return array

    def model(self, outputs: Mapping[str, Array]) -> Any:
        """Give the ONNX model, a protobuf message.

        Raises
        ------
        ValueError
            If the constants are too large for it.
        """
        if sum(value.nbytes for _, value in self._constants.values()) > MOST:
            raise ValueError("what is exported takes more than the two gigabytes of an ONNX file")
        arguments = {name: array for name, (array, _) in self._constants.items()}
        model = ndonnx().build({"x": self.x, **arguments}, dict(outputs), drop_unused=True)
        del model.metadata_props[:]  # of ndonnx, about inputs that are none any more
        graph = model.graph
        inputs = {given.name: given for given in graph.input}  # of those that are used, in any order
        del graph.input[:]
        graph.input.append(inputs["x"])
        graph.initializer.extend(
            onnx().numpy_helper.from_array(value, name)
            for name, (_, value) in self._constants.items() if name in inputs)
        for output in graph.output:
            output.type.tensor_type.shape.dim[0].dim_param = BATCH
        _drop_identities(graph)
        _drop_unused_outputs(graph)
        return model


def _argument(shape: tuple[int | str, ...], dtype: np.dtype[Any]) -> Array:
    ndx = ndonnx()
    return ndx.argument(shape=shape, dtype=ndx.utf8 if dtype.kind == "O" else ndx.from_numpy_dtype(dtype))


def _drop_identities(graph: Any) -> None:
    """Let nodes give outputs of the graph themselves, where a copy behind them did."""
    outputs = {output.name for output in graph.output}
    computed = {name for node in graph.node for name in node.output}
    renamed: dict[str, str] = {}
    for node in list(graph.node):
        if node.op_type == "Identity" and node.output[0] in outputs and (
                node.input[0] in computed - outputs - renamed.keys()):
            renamed[node.input[0]] = node.output[0]
            graph.node.remove(node)
    for each in _with_subgraphs(graph):
        for node in each.node:
            node.input[:] = [renamed.get(name, name) for name in node.input]
            node.output[:] = [renamed.get(name, name) for name in node.output]


def _drop_unused_outputs(graph: Any) -> None:
    """Take outputs away that nobody asks for: with one for indices, onnxruntime's pooling is slow."""
    used = {output.name for output in graph.output}
    used |= {name for each in _with_subgraphs(graph) for node in each.node for name in node.input}
    used |= {output.name for each in _with_subgraphs(graph) for output in each.output}
    for node in graph.node:
        while len(node.output) > 1 and node.output[-1] not in used:
            del node.output[-1]


def _with_subgraphs(graph: Any) -> Iterator[Any]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _with_subgraphs(attribute.g)
