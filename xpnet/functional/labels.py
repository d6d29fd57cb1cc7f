"""Labels: class numbers of any integer dtype, or one-hot rows."""

from __future__ import annotations

from xpnet.functional._array import Array, array_namespace, device
from xpnet.functional._fitting import stacks_fit

__all__ = ["class_numbers", "is_one_hot", "one_hot", "target_rows"]


def is_one_hot(t: Array, ndim: int) -> bool:
    """Tell one-hot rows from class numbers, for scores with `ndim` dimensions.

    Labels are one-hot if they have as many dimensions as the scores or are not integers, and
    class numbers otherwise. (The book compares sizes, which takes ten class numbers for one row
    of ten.)
    """
    return t.ndim == ndim or not array_namespace(t).isdtype(t.dtype, "integral")


def one_hot(t: Array, num_classes: int, dtype: object) -> Array:
    """Turn class numbers into rows of zeros with a one.

    By comparison, which every library can do; indexing by an array, not every one.

    Parameters
    ----------
    t : array
        Class numbers, `(…)`, of any integer dtype.
    num_classes : int
        C.
    dtype : dtype
        A real floating dtype of the library of `t`.

    Returns
    -------
    array
        `(…, C)`. The row of a label outside 0 … C-1 is NaN: an error here would have to wait for
        the GPU, and zeros would be silently wrong.
    """
    xp = array_namespace(t)
    classes = xp.arange(num_classes, device=device(t))
    labels = xp.astype(t, classes.dtype, copy=False)[..., None]
    rows = xp.astype(labels == classes, dtype)
    return xp.where((labels >= 0) & (labels < num_classes), rows, float("nan"))


def target_rows(y: Array, t: Array) -> Array:
    """Give the labels as rows of the dtype of the scores or probabilities `y` `(…, N, C)`.

    Raises
    ------
    ValueError
        If the shape of `t` is neither `(…, N)` for class numbers nor `(…, N, C)` for one-hot rows.
    """
    xp = array_namespace(y, t)
    if _check_labels(y, t):
        return xp.astype(t, y.dtype, copy=False)
    return one_hot(t, y.shape[-1], y.dtype)


def class_numbers(where: str, y: Array, t: Array) -> Array:
    """Give labels of scores or probabilities `y` `(…, N, C)` as numbers `(…, N)`, of any int dtype.

    Raises
    ------
    ValueError
        As from `target_rows`; or if there are less than two classes, of which each row is then right,
        as of a regression's one column.
    """
    xp = array_namespace(y, t)
    if y.ndim < 2 or y.shape[-1] < 2:
        raise ValueError(f"{where} wants scores of two classes or more, (…, N, C); got "
                         f"{tuple(y.shape)}: one column has binary_accuracy, or r2_score")
    rows = _check_labels(y, t)
    return xp.argmax(xp.astype(t, y.dtype, copy=False), axis=-1) if rows else t


def _check_labels(y: Array, t: Array) -> bool:
    """Refuse labels that do not fit scores, and tell whether they are one-hot rows."""
    if is_one_hot(t, y.ndim):
        if t.ndim == y.ndim - 1 and t.shape[-1] == y.shape[-2]:
            raise ValueError(f"class numbers want an integer dtype; got {tuple(t.shape)} {t.dtype}")
        fits = tuple(t.shape[-2:]) == tuple(y.shape[-2:])
        if not fits or not stacks_fit(t.shape[:-2], y.shape[:-2]):
            raise ValueError(f"one-hot labels for scores of shape {tuple(y.shape)} want shape "
                             f"(…, {y.shape[-2]}, {y.shape[-1]}); got {tuple(t.shape)} {t.dtype}")
        return True
    stacks = zip(reversed(t.shape[:-1]), reversed(y.shape[:-2]), strict=False)
    if t.ndim < 1 or t.shape[-1] != y.shape[-2] or any(k not in (n, 1) for k, n in stacks):
        hint = ("; one-hot rows of integers for a stack want a stack axis too, t[None, ...]"
                if tuple(t.shape) == tuple(y.shape[-2:]) else "")
        raise ValueError(f"class numbers for scores of shape {tuple(y.shape)} want shape "
                         f"(…, {y.shape[-2]}); got {tuple(t.shape)}{hint}")
    return False
