"""Labels of a classifier: their kind, their classes, and the numbers that a network is trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import is_array_api_obj
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from xpnet.backend import backend_of
from xpnet.functional._array import Array, array_namespace, device

__all__ = ["class_codes", "classes_and_kind", "is_text", "sorted_classes", "unknown_classes"]


def classes_and_kind(y: Array) -> tuple[Array, str]:
    """Give the classes, ascending, and "binary", "multiclass" or "multilabel".

    Raises
    ------
    ValueError
        If the labels are continuous, or of several outputs with several classes.
    """
    kind = type_of_target(y, input_name="y")
    if kind not in ("binary", "multiclass", "multilabel-indicator"):
        check_classification_targets(y)
        raise ValueError("Multioutput target data is not supported with label binarization")
    xp = array_namespace(y)
    if kind == "multilabel-indicator":
        return xp.arange(y.shape[1], device=device(y)), "multilabel"
    return xp.unique_values(y), kind


def sorted_classes(classes: Any) -> Array:
    """Give what partial_fit was told of classes, as an array, each once and ascending."""
    if not is_array_api_obj(classes):
        classes = np.asarray(classes)
    return array_namespace(classes).unique_values(classes)


def class_codes(y: Array, classes: Array) -> Array:
    """Give the number of each label `(N,)` among the classes, which are ascending."""
    xp = array_namespace(y, classes)
    return xp.searchsorted(_sortable(classes), _sortable(y))


def unknown_classes(found: Array, classes: Array) -> list[Any]:
    """Give those classes, of some that occur, that are not among the known ones."""
    known = set(_values(classes))
    return [c for c in _values(found) if c not in known]


def is_text(a: Array) -> bool:
    """Tell whether these are strings or objects, which only NumPy has."""
    return isinstance(a, np.ndarray) and a.dtype.kind in "OUST"


def _values(classes: Array) -> list[Any]:
    return backend_of(classes).to_numpy(classes).tolist()


def _sortable(a: Array) -> Array:
    """Give truth values as numbers, which alone can be searched."""
    xp = array_namespace(a)
    return a if is_text(a) or not xp.isdtype(a.dtype, "bool") else xp.astype(a, xp.uint8)
