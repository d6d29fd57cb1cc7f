"""Networks and estimators as ONNX files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from typing import Any

from xpnet import __version__
from xpnet._numbers import whole_numbers
from xpnet.networks import Network
from xpnet.onnx.estimators import classes_of, steps_of, trace_steps
from xpnet.onnx.graph import Graph
from xpnet.onnx.metadata import described, plain_labels
from xpnet.onnx.networks import dtype_of, trace
from xpnet.training.atomic import atomic_path

__all__ = ["export"]


def export(
    model: Any,
    path: str | os.PathLike[str],
    input_shape: Sequence[int] | None = None,
    *,
    labels: Iterable[object] | None = None,
    predictions: bool = False,
) -> None:
    """Write a network, or a fitted estimator with its scalers, to an ONNX file (extra `onnx`).

    The network's own `predict` is traced with arrays of ndonnx, as for use, without dropout and with the
    running statistics. The model takes an input "x" of the parameters' dtype and any number of rows. The same
    network makes the same bytes. Written beside it first, then renamed: what was at `path` is replaced whole
    or not at all.

    Parameters
    ----------
    model : Network or estimator
        A network on any backend, no stack; or a fitted `MLPClassifier` or `MLPRegressor` of xpnet, also at the
        end of a scikit-learn `Pipeline` of StandardScaler, MinMaxScaler, MaxAbsScaler and RobustScaler.
    path : path
        The file.
    input_shape : sequence of int, optional
        Of one row, without the batch: `(784,)`, `(1, 28, 28)`. An estimator knows it.
    labels : iterable of str or number, optional
        What the columns of a network's scores stand for, for the model's metadata; a classifier has its own.
    predictions : bool
        Whether a network's model gives "predictions" besides "scores": of a classifier, probabilities. (A
        softmax takes a small network, given one row, a microsecond of nine.) An estimator's model gives "label" and
        "probabilities", or "prediction".

    Raises
    ------
    ValueError
        If the model takes no such rows, is a stack, is not fitted, or is too large for the format.
    TypeError
        If it is nothing that can be exported, or of another dtype than float16, float32 and float64.
    ImportError
        Without the extra `onnx`.
    OSError
        If the file cannot be written.
    """
    if isinstance(model, Network):
        if input_shape is None:
            raise ValueError("export wants the input_shape of a network: of one row, as (784,) or (1, 28, 28)")
        network, shape = model, whole_numbers("export", "input_shape", input_shape)
    else:
        steps = steps_of(model)
        network, shape = steps[-1][1].network_, [steps[-1][1].n_features_in_]
        if input_shape is not None and [*input_shape] != shape:
            raise ValueError(f"export wants no input_shape but ({shape[0]},) for this estimator, or none; "
                             f"got {input_shape!r}")
        if labels is not None or predictions:
            raise ValueError("export wants labels and predictions for networks alone: an estimator's classes "
                             "are its labels, and its model gives their probabilities")
    if network.stack_axes:
        raise ValueError(f"export wants one network; this {type(network).__name__} is a stack: export "
                         "network.member(k)")
    graph = Graph(shape, dtype_of(network))
    if isinstance(model, Network):
        scores, y = trace(network, graph, graph.x)
        outputs = {"scores": scores, "predictions": y} if predictions else {"scores": scores}
        about: dict[str, object] = {} if labels is None else {"labels": plain_labels(labels, scores.shape[-1])}
    else:
        outputs = trace_steps(steps, graph)
        *scalers, (_, estimator) = steps
        about = {"estimator": type(estimator).__name__,
                 "scalers": {name: type(step).__name__ for name, step in scalers}}
        classes = classes_of(estimator)
        if classes is not None:
            about["labels"] = classes.tolist()
        if hasattr(estimator, "feature_names_in_"):
            about["features"] = [*map(str, estimator.feature_names_in_)]
    proto = graph.model(outputs)
    proto.producer_name, proto.producer_version = "xpnet", __version__
    proto.graph.name = type(network).__name__
    text = json.dumps({**described(network, graph.x, outputs), **about})
    proto.metadata_props.add(key="xpnet", value=text)
    raw = proto.SerializeToString(deterministic=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(raw)
