"""Targets and weights that fit a batch, so that nothing is broadcast that should not be."""

from __future__ import annotations

from xpnet.functional._array import Array, array_namespace, check_floating

__all__ = ["fitting_targets", "sample_column", "stacks_fit"]


def fitting_targets(where: str, x: Array, t: Array) -> Array:
    """Give targets `t` in the dtype of the batch `x` `(…, N, C)`, and with its last two axes.

    Raises
    ------
    ValueError
        If the shape of `t` is not `(…, N, C)`, nor, with C = 1, `(…, N)`. (To subtract `(N,)` from
        `(N, 1)` would give every difference, `(N, N)`.)
    TypeError
        If `x` is not floating, or the libraries differ.
    """
    check_floating(where, x)
    xp = array_namespace(x, t)
    if x.ndim < 2:
        raise ValueError(f"{where} wants a batch of shape (…, N, C); got {tuple(x.shape)}")
    rows, columns = x.shape[-2:]
    shape = tuple(t.shape)
    if columns == 1 and len(shape) < x.ndim and shape[-1:] == (rows,):
        shape = (*shape, 1)
    if shape[-2:] != (rows, columns) or not stacks_fit(shape[:-2], x.shape[:-2]):
        alone = f" or (…, {rows})" if columns == 1 else ""
        raise ValueError(f"{where} wants targets of shape (…, {rows}, {columns}){alone} for a batch "
                         f"of shape {tuple(x.shape)}; got {tuple(t.shape)}")
    t = xp.astype(t, x.dtype, copy=False)
    return t if len(shape) == t.ndim else t[..., None]


def sample_column(sample_weight: Array, x: Array) -> Array:
    """Give weights `(…, N)` of the rows of `x` `(…, N, C)` as a column `(…, N, 1)` of its dtype."""
    xp = array_namespace(sample_weight, x)
    shape, rows = tuple(sample_weight.shape), x.shape[-2]
    if shape[-1:] != (rows,) or not stacks_fit(shape[:-1], x.shape[:-2]):
        raise ValueError(f"sample_weight for a batch of shape {tuple(x.shape)} wants shape "
                         f"(…, {rows}); got {shape}")
    return xp.astype(sample_weight, x.dtype, copy=False)[..., None]


def stacks_fit(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Tell whether stack axes can be broadcast against each other."""
    return all(m == n or 1 in (m, n) for m, n in zip(reversed(a), reversed(b), strict=False))
