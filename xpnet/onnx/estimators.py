"""Fitted estimators, alone or at the end of a pipeline of scalers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.backend import backend_of
from xpnet.functional._array import Array, array_namespace
from xpnet.losses import SigmoidWithLoss
from xpnet.onnx.graph import Graph
from xpnet.onnx.networks import trace
from xpnet.onnx.scalers import scale

__all__ = ["classes_of", "steps_of", "trace_steps"]


def steps_of(model: Any) -> list[tuple[str, Any]]:
    """Give names and steps of a pipeline, without those that do nothing, the estimator last.

    Raises
    ------
    TypeError
        If it is no estimator of xpnet, or a pipeline does not end with one.
    ValueError
        If it has not been fitted.
    """
    steps = list(_flattened("", model))
    estimator = steps[-1][1] if steps else None
    fitted, network = (hasattr(estimator, name) for name in ("n_features_in_", "network_"))
    if not hasattr(estimator, "predict") or (fitted and not network):
        kind = type(estimator)
        hint = "; export its best_estimator_" if hasattr(estimator, "best_estimator_") else ""
        raise TypeError("export wants a Network, an estimator of xpnet.sklearn, or a pipeline that ends with one; "
                        f"got {kind.__module__}.{kind.__qualname__}{hint}")
    if not fitted:
        raise ValueError(f"export wants a fitted estimator; this {type(estimator).__name__} has no "
                         "n_features_in_: fit it first")
    return steps


def trace_steps(steps: Sequence[tuple[str, Any]], graph: Graph) -> dict[str, Array]:
    """Trace scalers and estimator: what its `predict`, and of a classifier its `predict_proba`, give.

    Returns
    -------
    dict
        Of a classifier "label" `(N,)`, of several labels a row 0 and 1, `(N, C)`, and "probabilities"
        `(N, C)`. Of a regressor "prediction", `(N,)` or `(N, M)`.
    """
    *scalers, (_, estimator) = steps
    x = graph.x
    for name, scaler in scalers:
        x = scale(name, scaler, graph, x)
    scores, y = trace(estimator.network_, graph, x)
    xp, classes = array_namespace(y), classes_of(estimator)
    if classes is None:
        return {"prediction": y if y.shape[1] > 1 else y[:, 0]}
    if not isinstance(estimator.network_.last_layer, SigmoidWithLoss):
        return {"label": _named(xp.argmax(scores, axis=-1), classes, graph), "probabilities": y}
    positive = xp.astype(scores > 0, xp.int64)
    if y.shape[1] > 1:
        return {"label": positive, "probabilities": y}
    numbers = positive[:, 0] * (len(classes) - 1)  # of a single class, which is certain, 0
    return {"label": _named(numbers, classes, graph),
            "probabilities": xp.concat([1 - y, y], axis=-1) if len(classes) == 2 else xp.ones_like(y)}


def classes_of(estimator: Any) -> NDArray[Any] | None:
    """Give a classifier's classes, numbers or, as objects, strings; None for a regressor."""
    if not hasattr(estimator, "classes_"):
        return None
    host = backend_of(estimator.classes_).to_numpy(estimator.classes_)
    if host.dtype.kind in "iu":
        return host.astype(np.int64)
    if host.dtype.kind in "US" or all(isinstance(each, str) for each in host.tolist()):
        return np.asarray(host.astype(str), object)
    if host.dtype.kind in "bf":
        return host
    raise TypeError(f"export wants classes that are numbers or strings; got {host.tolist()!r:.60}")


def _named(numbers: Array, classes: NDArray[Any], graph: Graph) -> Array:
    """Give classes by their numbers `(N,)`."""
    if classes.dtype.kind == "i" and np.array_equal(classes, np.arange(len(classes))):
        return numbers
    return array_namespace(numbers).take(graph.constant("classes", classes), numbers)


def _flattened(name: str, model: Any) -> Iterator[tuple[str, Any]]:
    """Go through pipelines, also those within others."""
    if hasattr(model, "steps"):
        for inner, step in model.steps:
            yield from _flattened(f"{name}.{inner}".lstrip("."), step)
    elif model is not None and not isinstance(model, str):  # which would be "passthrough"
        yield name, model
