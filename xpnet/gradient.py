"""Numerical gradients, by central differences (the book's chapter 4.4)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import array_api_compat

from xpnet.functional._array import (
    Array,
    array_namespace,
    check_concrete,
    check_floating,
    device,
    sum_dtype,
)

__all__ = ["numerical_gradient", "perturbed"]

def numerical_gradient(
    f: Callable[[Array], Array | float], x: Array, h: float | None = None
) -> Array:
    """Compute the gradient of `f` at `x`, element by element, as `(f(x+h) - f(x-h)) / 2h`.

    `f` may use its argument, or, as in the book, ignore it and read the array `x` wherever else it
    is held: a mutable `x` is itself changed, and restored, also when `f` raises. An immutable one
    (JAX's, a read-only NumPy array) is copied, and `f` must use its argument.

    Parameters
    ----------
    f : callable
        Takes an array like `x`, returns a float or 0-dimensional array.
    x : array
        Any shape, of a real floating dtype, all finite.
    h : float, optional
        The step. By default the cube root of the dtype's epsilon, which balances truncation
        against rounding (Press et al., Numerical Recipes, equation 5.7.8), times the larger of the
        element's magnitude and the root mean square of `x`, or times 1 where both are 0. The
        difference is divided by the step that was taken after rounding to the dtype.

    Returns
    -------
    array
        Of the shape, dtype and device of `x`.

    Raises
    ------
    TypeError
        If `x` is not floating, is traced or requires a gradient; or if `x` is immutable and `f`
        does not read its argument, which would give zeros.
    ValueError
        If `f` does not return a scalar, `x` is not finite, or `h` is too small for the dtype.
    """
    xp = array_namespace(x)
    plus, minus = perturbed(x, h, axes=None)
    mutable = array_api_compat.is_writeable_array(x)
    evaluate = _in_place(f, x) if mutable else _on_copies(f, x)
    differences = [
        evaluate(index, plus) - evaluate(index, minus)
        for index in itertools.product(*map(range, x.shape))
    ]
    if not mutable and differences and not any(differences) and _ignores(f, x):
        raise TypeError(
            f"f does not read its argument, and x ({type(x).__name__}) cannot be changed in place: "
            "the gradient would be zeros. Use the argument of f, as in "
            "lambda W: network.bind({'W1': W}).loss(x, t)"
        )
    wide = sum_dtype(x)
    df = xp.reshape(xp.asarray(differences, dtype=wide, device=device(x)), x.shape)
    return xp.astype(df / xp.astype(plus - minus, wide), x.dtype)


def perturbed(x: Array, h: float | None, axes: tuple[int, ...] | None) -> tuple[Array, Array]:
    """Give x + h and x - h, all elements at once; `axes`: over which to take the mean square.

    Raises what `numerical_gradient` raises of `x` and `h`.
    """
    check_concrete("numerical_gradient", x, remedy="call it outside of jit")
    check_floating("numerical_gradient", x)
    if h is not None and not 0 < h < math.inf:
        raise ValueError(f"numerical_gradient wants a step h above 0; got {h}")
    xp = array_namespace(x)
    if not bool(xp.all(xp.isfinite(x))):
        raise ValueError("numerical_gradient wants finite numbers; x holds NaN or infinity")
    # float(): a NumPy scalar would promote the dtype
    step = _default_step(x, axes) if h is None else float(h)
    plus, minus = x + step, x - step
    if not bool(xp.all((plus != x) & (minus != x) & xp.isfinite(plus - minus))):
        step_name = "its default step" if h is None else f"a step h of {h}"
        raise ValueError(f"numerical_gradient: {step_name} is lost in {x.dtype} at this x")
    return plus, minus


def _default_step(x: Array, axes: tuple[int, ...] | None) -> Array:
    xp = array_namespace(x)
    size = xp.abs(x)
    if array_api_compat.size(x):
        largest = xp.max(size, axis=axes, keepdims=True)
        largest = xp.where(largest == 0, 1, largest)  # the squares must neither over- nor underflow
        rms = largest * xp.sqrt(xp.mean((x / largest) ** 2, axis=axes, keepdims=True))
        size = xp.maximum(size, rms)
        size = xp.where(size == 0, 1, size)
    return float(xp.finfo(x.dtype).eps) ** (1 / 3) * size


def _scalar(value: Array | float) -> float:
    shape = getattr(value, "shape", ())
    if tuple(shape):
        raise ValueError(f"numerical_gradient wants f to return a scalar; got {tuple(shape)}")
    return float(value)


def _in_place(
    f: Callable[[Array], Array | float], x: Array
) -> Callable[[tuple[int, ...], Array], float]:
    xp = array_namespace(x)
    original = xp.asarray(x, copy=True)
    numbers = xp.astype(_numbers(x), x.dtype)
    try:
        x[...] = numbers
        overlap = bool(xp.any(x != numbers))
    finally:
        x[...] = original
    if overlap:
        raise ValueError("numerical_gradient changes x element by element, but elements of this x "
                         "share their memory: pass a copy")

    def evaluate(index: tuple[int, ...], values: Array) -> float:
        try:
            x[index] = values[index]
            return _scalar(f(x))
        finally:
            x[index] = original[index]

    return evaluate


def _on_copies(
    f: Callable[[Array], Array | float], x: Array
) -> Callable[[tuple[int, ...], Array], float]:
    xp = array_namespace(x)
    numbers = _numbers(x)

    def evaluate(index: tuple[int, ...], values: Array) -> float:
        return _scalar(f(xp.where(numbers == numbers[index], values, x)))

    return evaluate


def _numbers(x: Array) -> Array:
    """Give each element of an array its number."""
    xp = array_namespace(x)
    return xp.reshape(xp.arange(array_api_compat.size(x), device=device(x)), x.shape)


def _ignores(f: Callable[[Array], Array | float], x: Array) -> bool:
    """Tell whether `f` gives one value whatever it is given."""
    xp = array_namespace(x)
    probes = (xp.full_like(x, float("nan")), -x, 1 - x, 1000 * (1 + x))
    try:
        return len({_scalar(f(probe)) for probe in (x, *probes)}) == 1
    except Exception:  # noqa: BLE001  whatever it is, the argument brought it about
        return False
