"""What every optimiser does with its mappings of arrays."""

from __future__ import annotations

from collections.abc import Mapping

from xpnet.functional._array import Array, array_namespace

__all__ = ["along_stack", "cast", "check_fit"]


def cast(x: Array, dtype: object) -> Array:
    """Give `x` itself, or a copy of another dtype."""
    return x if x.dtype == dtype else array_namespace(x).astype(x, dtype)


def along_stack(values: Array, x: Array) -> Array:
    """Give one value a network, `(K,)`, the trailing axes to broadcast against a stack `(K, …)`."""
    return values[(..., *(None,) * (x.ndim - values.ndim))]


def check_fit(
    where: str, params: Mapping[str, Array], grads: Mapping[str, Array], stack_axes: int
) -> tuple[int, ...]:
    """Refuse gradients that are not those of the parameters; give the shape of the stack."""
    if params.keys() != grads.keys() or not params:
        raise ValueError(f"{where} wants a gradient for each parameter, {', '.join(params) or '…'}; "
                         f"got {', '.join(grads) or 'none'}")
    stack = tuple(next(iter(params.values())).shape[:stack_axes])
    for name, p in params.items():
        g = grads[name]
        if g.shape != p.shape or g.dtype != p.dtype:
            raise ValueError(f'{where} wants the gradient of "{name}" of shape {tuple(p.shape)} and '
                             f"dtype {p.dtype}; got {tuple(g.shape)} and {g.dtype}")
        if p.shape[:stack_axes] != stack:
            raise ValueError(f"{where} wants a stack of one shape in front of each parameter; "
                             f'got {stack} and, of "{name}", {tuple(p.shape[:stack_axes])}')
    if len(stack) != stack_axes:
        raise ValueError(f"{where} wants parameters with {stack_axes} stack axes; got "
                         + ", ".join(f'"{name}" {tuple(p.shape)}' for name, p in params.items()))
    return stack
