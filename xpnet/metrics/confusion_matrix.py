"""Which classes are taken for which."""

from __future__ import annotations

from xpnet.functional._array import Array, array_namespace, check_floating, device
from xpnet.functional.labels import class_numbers

__all__ = ["confusion_matrix"]

ROWS = 2**16
"""How many rows are counted at once. Up to 2**24, float32 counts exactly."""


def confusion_matrix(y: Array, t: Array) -> Array:
    """Count, for each class, what its rows are taken for.

    Parameters
    ----------
    y : array
        Scores or probabilities, `(N, C)`, a stack `(…, N, C)`, or one row `(C,)`.
    t : array
        Class numbers `(…, N)` of an integer dtype, or one-hot rows `(…, N, C)`.

    Returns
    -------
    array
        `(…, C, C)`, of the library's default integer dtype: in row i and column j, the number of
        rows of class i whose largest score is that of j. Labels outside the classes do not count.
    """
    check_floating("confusion_matrix", y)
    xp = array_namespace(y, t)
    if y.ndim == 1:
        return confusion_matrix(y[None, :], t[None, ...])
    labels = class_numbers("confusion_matrix", y, t)
    predicted = xp.argmax(y, axis=-1)
    classes = xp.arange(y.shape[-1], device=device(y))

    rows = y.shape[-2]

    def is_class(numbers: Array, start: int) -> Array:
        numbers = numbers[..., start:min(start + ROWS, rows)]
        numbers = xp.astype(numbers, classes.dtype, copy=False)[..., None]
        return xp.astype(numbers == classes, xp.float32)

    # A product of rows of zeros and ones, since not every library can add at indices; in float32,
    # since PyTorch multiplies no matrices of integers on a GPU.
    counts = [
        xp.astype(xp.matmul(is_class(labels, start).mT, is_class(predicted, start)), classes.dtype)
        for start in range(0, max(rows, 1), ROWS)
    ]
    return sum(counts[1:], start=counts[0])
