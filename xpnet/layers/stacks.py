"""How arrays of a stack of networks lie: the stack's axes in front, one network's own behind them."""

from __future__ import annotations

from collections.abc import Mapping

from xpnet.functional._array import Array, check_concrete

__all__ = ["align_stacks", "broadcast_shape", "own_ndim"]


def broadcast_shape(*shapes: tuple[int, ...]) -> tuple[int, ...] | None:
    """Give the shape to which arrays of these shapes are broadcast; None if they do not fit."""
    axes = max(map(len, shapes), default=0)
    columns = zip(*((1,) * (axes - len(shape)) + tuple(shape) for shape in shapes), strict=True)
    lengths = [{*column} - {1} for column in columns]
    if any(len(each) > 1 for each in lengths):
        return None
    return tuple(next(iter(each), 1) for each in lengths)


def own_ndim(ndim: int, stack_axes: int) -> int | None:
    """Tell how many axes of a batch are not a stack's: 2 of rows, 4 of images; None if it is neither.

    The stack's axes may be in front or not. Where both fit, they are.
    """
    return next((n for n in (ndim - stack_axes, ndim) if n in (2, 4)), None)


def align_stacks(
    held: Mapping[str, Array], given: Mapping[str, Array], ndims: Mapping[str, int]
) -> tuple[dict[str, Array], int]:
    """Put the given arrays in the place of those held, all with equally many stack axes.

    Parameters
    ----------
    held : mapping
        All parameters, and state, by name.
    given : mapping
        Some or all of them, of the same shapes but for the stack axes in front.
    ndims : mapping
        The number of dimensions of each without stack axes.

    Returns
    -------
    arrays : dict
        All of them; those with fewer stack axes than the others get axes of length 1.
    axes : int
        How many stack axes they have.
    """
    held = dict(held)
    for name, p in given.items():
        if name not in held:
            raise KeyError(f"no parameter {name!r}; there are {', '.join(held) or 'none'} "
                           "(a layer of one's own lists its in param_ndims)")
        check_concrete(f'parameter "{name}"', p, remedy=None)
        own = held[name].shape
        if p.shape == own:
            continue
        own = tuple(own[len(own) - ndims[name]:])
        if p.ndim < ndims[name] or tuple(p.shape[p.ndim - ndims[name]:]) != own:
            raise ValueError(f'parameter "{name}" is of shape {own}, with stack axes in front '
                             f"if any; got {tuple(p.shape)}")
    merged = held | dict(given)
    axes = max((p.ndim - ndims[name] for name, p in merged.items()), default=0)
    if axes == 0:
        return merged, 0
    return {
        name: p[(None,) * missing + (...,)] if (missing := axes + ndims[name] - p.ndim) else p
        for name, p in merged.items()
    }, axes
