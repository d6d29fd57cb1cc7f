"""Labels of a classifier: their kind, their classes, and the numbers that a network is trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import is_array_api_obj
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from xpnet.backend import backend_of
from xpnet.functional._array import Array, array_namespace, device
from xpnet.sklearn._place import Place

__all__ = ["check_classes", "class_codes", "class_weighted", "classes_and_kind", "is_text", "told_classes"]


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
    return sorted_classes(y), kind


def sorted_classes(classes: Any) -> Array:
    """Give labels, or what partial_fit was told of classes, as an array, each once and ascending."""
    if not is_array_api_obj(classes):
        classes = np.asarray(classes)
    found = array_namespace(classes).unique_values(classes)
    objects = isinstance(found, np.ndarray) and found.dtype.kind == "O"
    return np.asarray(found.tolist()) if objects and all(isinstance(c, str) for c in found) else found


def class_codes(y: Array, classes: Array) -> Array:
    """Give the number of each label `(N,)` among the classes, which are ascending."""
    xp = array_namespace(y, classes)
    return xp.searchsorted(_sortable(classes), _sortable(y))


def told_classes(classes: Any, found: Array, place: Place) -> Array:
    """Give the classes that the first partial_fit was told, in the library of X unless they are strings.

    Raises
    ------
    ValueError
        If some that were found are not among them.
    """
    told = sorted_classes(classes)
    told = told if is_text(told) else place.follow(told)
    check_classes(found, told, None, all_of_them=False)
    return told


def check_classes(found: Array, known: Array, told: Any, *, all_of_them: bool) -> None:
    """Refuse classes that were not there before, or that are not there any more.

    Parameters
    ----------
    found, known : array
        Those of some labels, and all.
    told : array, optional
        What partial_fit is told now.
    all_of_them : bool
        Whether all have to be found.

    Raises
    ------
    ValueError
        If they are others.
    """
    of_labels, of_before = set(_values(found)), set(_values(known))
    if told is not None and set(_values(sorted_classes(told))) != of_before:
        raise ValueError(f"`classes={told!r}` is not the same as on last call to partial_fit, was: {known!r}")
    if all_of_them and of_labels != of_before:
        raise ValueError("warm_start can only be used where `y` has the same classes as in the previous call "
                         f"to fit. Previously got {known}, `y` has {found}")
    if not of_labels <= of_before:
        raise ValueError(f"`y` has classes not in `self.classes_`. `self.classes_` has {known}. 'y' has {found}.")


def class_weighted(
    class_weight: Any, y: Array, codes: Array | None, classes: Array, weight: Array | None, place: Place
) -> Array:
    """Multiply the weights of rows `(N,)` with those of their classes, in the library of X.

    Parameters
    ----------
    class_weight : dict, "balanced" or list of dict
        See `sklearn.utils.class_weight`.
    y, codes : array
        The labels, and the numbers of their classes; None if there are several a row.
    classes : array
        All classes.
    weight : array, optional
        The rows' own weights.
    place : Place
        Where X is.

    Raises
    ------
    ValueError
        If weights of classes are negative, or those of all rows 0.
    """
    known, of_rows = (backend_of(a).to_numpy(a) for a in (classes, y))
    if codes is None:
        by_row = compute_sample_weight(class_weight, of_rows)
    else:
        balanced = class_weight == "balanced"
        by_class = compute_class_weight(
            class_weight, classes=known, y=of_rows if balanced else known,  # of which a part may lack some
            sample_weight=backend_of(weight).to_numpy(weight) if balanced and weight is not None else None)
        by_row = by_class[backend_of(codes).to_numpy(codes)]
    if not (by_row >= 0).all() or not by_row.any():
        raise ValueError("class_weight wants numbers of 0 or more, not 0 for all rows that there are; "
                         f"got {class_weight!r:.100}")
    by_row = place.library.asarray(by_row)
    return by_row if weight is None else array_namespace(weight).astype(by_row, weight.dtype) * weight


def is_text(a: Array) -> bool:
    """Tell whether these are strings or objects, which only NumPy has."""
    return isinstance(a, np.ndarray) and a.dtype.kind in "OUST"


def _values(classes: Array) -> list[Any]:
    return backend_of(classes).to_numpy(classes).tolist()


def _sortable(a: Array) -> Array:
    """Give numbers that every library can search: not PyTorch unsigned ones, and nobody truth values."""
    xp = array_namespace(a)
    if is_text(a) or not xp.isdtype(a.dtype, ("bool", "unsigned integer")):
        return a
    return xp.astype(a, xp.int64)
