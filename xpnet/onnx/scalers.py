"""Scalers of scikit-learn before an estimator.

Their own `transform` cannot be traced: scikit-learn counts the rows first, which nobody can before a graph
runs. So this is its arithmetic, on what the fitted scaler says of itself.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from xpnet.backend import backend_of
from xpnet.functional._array import Array, array_namespace
from xpnet.onnx.graph import Graph

__all__ = ["SCALERS", "scale"]

SCALERS: Mapping[str, tuple[tuple[Callable[[Any, Any], Any], str, str | None], ...]] = {
    # class: operations, the attribute with what goes with x, and that which says whether to do it
    "StandardScaler": ((operator.sub, "mean_", "with_mean"), (operator.truediv, "scale_", "with_std")),
    "MinMaxScaler": ((operator.mul, "scale_", None), (operator.add, "min_", None)),
    "MaxAbsScaler": ((operator.truediv, "scale_", None),),
    "RobustScaler": ((operator.sub, "center_", "with_centering"), (operator.truediv, "scale_", "with_scaling")),
}


def scale(name: str, scaler: Any, graph: Graph, x: Array) -> Array:
    """Trace a fitted scaler on rows `(N, D)`, in their dtype.

    Parameters
    ----------
    name : str
        Of the pipeline's step.
    scaler : object
        Of one of the classes that are `SCALERS`.
    graph : Graph
        What gets the scaler's numbers, as "name.scale_".
    x : array
        Rows of ndonnx.

    Raises
    ------
    TypeError
        If it is anything else, or a subclass, which may compute something else.
    ValueError
        If it has not been fitted.
    """
    kind = type(scaler)
    if kind.__name__ not in SCALERS or kind.__module__.partition(".")[0] != "sklearn":
        raise TypeError(f'export knows no way to ONNX for the step "{name}", a {kind.__name__}; before an '
                        f"estimator there may be {', '.join(SCALERS)} and passthrough")
    if not hasattr(scaler, "n_features_in_"):
        raise ValueError(f'export wants a fitted pipeline; the step "{name}" is not fitted')
    dtype = np.dtype(str(x.dtype))
    for operation, attribute, flag in SCALERS[kind.__name__]:
        if flag is None or getattr(scaler, flag):
            values = getattr(scaler, attribute)
            host = np.asarray(backend_of(values).to_numpy(values), dtype)
            x = operation(x, graph.constant(f"{name}.{attribute}", host))
    if getattr(scaler, "clip", False):
        x = array_namespace(x).clip(x, *map(float, getattr(scaler, "feature_range", (-1, 1))))
    return x
