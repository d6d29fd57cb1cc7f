"""Clipping of gradients by their norm."""

from __future__ import annotations

from collections.abc import Mapping

from xpnet._numbers import positive
from xpnet.functional._array import Array, array_namespace, sum_dtype
from xpnet.optimizers._arrays import along_stack, cast

__all__ = ["clip_by_global_norm"]


def clip_by_global_norm(
    grads: Mapping[str, Array], norm: float, *, stack_axes: int = 0
) -> dict[str, Array]:
    """Scale gradients down together, so that their common Euclidean norm is at most `norm`.

    Pascanu et al. 2013, algorithm 1, as `torch.nn.utils.clip_grad_norm_`, its `1e-6` too.
    Gradients of 16 bits are squared in float32.

    Parameters
    ----------
    grads : mapping
        Gradients, by name.
    norm : float
        The greatest norm, above 0, of all of them as one vector.
    stack_axes : int
        How many axes in front are a stack's. Each network there has a norm of its own.
    """
    norm = positive("clip_by_global_norm", "norm", norm)
    xp = array_namespace(*grads.values())
    wide = {name: cast(g, sum_dtype(g)) for name, g in grads.items()}
    squares = (xp.sum(g * g, axis=tuple(range(stack_axes, g.ndim))) for g in wide.values())
    factor = xp.minimum(norm / (xp.sqrt(sum(squares)) + 1e-6), 1.0)
    return {name: cast(along_stack(factor, g) * g, grads[name].dtype) for name, g in wide.items()}
