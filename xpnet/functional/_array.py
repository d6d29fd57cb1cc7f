"""What every function needs of its arrays: their namespace, and words for what cannot work."""

from __future__ import annotations

import functools
import numbers
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, TypeAlias, TypeGuard

import array_api_compat

__all__ = [
    "Array",
    "array_namespace",
    "check_concrete",
    "check_dout",
    "check_floating",
    "device",
    "in_sum_dtype",
    "is_integer",
    "joined",
    "reshape",
    "size",
    "sum_dtype",
    "sum_over",
    "unbroadcast",
]

Array: TypeAlias = Any
"""An array of any library that follows the array API standard; the standard has no types yet."""

device = array_api_compat.device
size = array_api_compat.size

_namespaces: dict[tuple[type, ...], Any] = {}


AT_ONCE = 8
"""Of more arrays, CuPy's `concat` brings the addresses from the host, which a graph cannot."""


def array_namespace(*arrays: Array) -> Any:
    """Give the array API namespace that all of these arrays share; Python scalars are ignored.

    `array_api_compat.array_namespace`, remembered by type: half a microsecond instead of 2 to 5.

    Raises
    ------
    TypeError
        If there is no array among them, or they are of different libraries.
    """
    types = tuple(map(type, arrays))
    try:
        return _namespaces[types]
    except KeyError:
        pass
    try:
        xp = array_api_compat.array_namespace(*arrays)
    except TypeError:
        found = " and ".join(dict.fromkeys(f"{t.__module__}.{t.__qualname__}" for t in types))
        raise TypeError(f"arrays of one array-API library are wanted; got {found}") from None
    if isinstance(xp, ModuleType):  # a namespace made for one instance must not be remembered
        _namespaces[types] = xp
    return xp


def is_integer(n: object) -> TypeGuard[int]:
    """Tell whether this is an integer, Python's or NumPy's, and no bool."""
    return isinstance(n, numbers.Integral) and not isinstance(n, bool)


@functools.cache
def _is_floating(dtype: Any, xp: Any) -> bool:
    return bool(xp.isdtype(dtype, "real floating"))


def check_floating(where: str, x: Array) -> None:
    """Refuse an array that is not of a real floating dtype (TypeError)."""
    if not _is_floating(x.dtype, array_namespace(x)):
        raise TypeError(f"{where} wants a real floating dtype; got {x.dtype}: cast it first")


_tracers: dict[type, bool] = {}


def _is_tracer(x: Array) -> bool:
    cls = type(x)
    if cls not in _tracers:
        _tracers[cls] = any(
            c.__name__ == "Tracer" and c.__module__.startswith("jax.") for c in cls.__mro__
        )
    return _tracers[cls]


def check_concrete(where: str, *arrays: Array, remedy: str | None) -> None:
    """Refuse arrays that must not be kept: those on an autograd tape, and JAX's tracers.

    `remedy` says what to do instead under `jax.jit`; None lets tracers pass.
    """
    for x in arrays:
        if getattr(x, "requires_grad", False):
            raise TypeError(
                f"{where} has its own backward and wants arrays off the autograd tape; "
                "got requires_grad=True: pass x.detach()"
            )
        if remedy is not None and _is_tracer(x):
            raise TypeError(f"{where} got a tracer of jax.jit, jax.grad or jax.vmap, which would "
                            f"leak: {remedy}")


def reshape(x: Array, shape: tuple[int | None, ...]) -> Array:
    """Give an array another shape, in which at most one length is None: not known before a graph runs."""
    xp = array_namespace(x)
    return xp.reshape(x, tuple(-1 if n is None else n for n in shape) if None in shape else shape)


def check_dout(where: str, dout: Array, x: Array) -> None:
    """Refuse a gradient that is not that of an output like `x`.

    Only an axis of length 1 before the last two, a stack's, may be longer in `dout`: one gradient for
    each of the networks behind.
    """
    if dout.dtype != x.dtype:
        raise TypeError(f"{where} wants dout of dtype {x.dtype}; got {dout.dtype}")
    fits = dout.ndim == x.ndim and dout.shape[-2:] == x.shape[-2:] and all(
        n in (m, 1) for m, n in zip(dout.shape, x.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{where} wants dout of shape {tuple(x.shape)}; got {tuple(dout.shape)}")


@functools.cache
def _sum_dtype(dtype: Any, xp: Any) -> Any:
    return xp.float32 if xp.finfo(dtype).bits < 32 else dtype


def sum_dtype(x: Array) -> Any:
    """Give the dtype to sum in: its own, but float32 for 16 bits, which overflow at 65504."""
    return _sum_dtype(x.dtype, array_namespace(x))


def sum_over(x: Array, axis: int | tuple[int, ...]) -> Array:
    """Sum over axes, in `sum_dtype`, and give the sum in the dtype of `x`."""
    xp = array_namespace(x)
    return xp.astype(xp.sum(x, axis=axis, dtype=sum_dtype(x)), x.dtype, copy=False)


def in_sum_dtype(
    f: Callable[..., tuple[Array, ...]], *arrays: Array, **options: Any
) -> tuple[Array, ...]:
    """Compute `f(*arrays, **options)` in `sum_dtype`, and give its results in the arrays' own dtype."""
    dtype, wide = arrays[0].dtype, sum_dtype(arrays[0])
    if wide == dtype:
        return f(*arrays, **options)
    xp = array_namespace(*arrays)
    out = f(*(xp.astype(a, wide) for a in arrays), **options)
    return tuple(xp.astype(a, dtype) for a in out)


def unbroadcast(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Sum a gradient over the axes along which an input of this shape was broadcast."""
    if tuple(gradient.shape) == tuple(shape):
        return gradient
    xp = array_namespace(gradient)
    extra = gradient.ndim - len(shape)
    stretched = tuple(
        extra + i for i, n in enumerate(shape) if n == 1 and gradient.shape[extra + i] != 1
    )
    return xp.reshape(sum_over(gradient, (*range(extra), *stretched)), shape)


def joined(arrays: Sequence[Array]) -> Array:
    """Concatenate arrays, eight at a time; one array is given as it is."""
    if len(arrays) == 1:
        return arrays[0]
    xp = array_namespace(*arrays[:1])
    while len(arrays) > AT_ONCE:
        arrays = [xp.concat(arrays[k:k + AT_ONCE]) for k in range(0, len(arrays), AT_ONCE)]
    return xp.concat(arrays)
