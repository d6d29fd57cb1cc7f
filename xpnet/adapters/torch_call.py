"""One call of a layer or loss on PyTorch's tape."""

from __future__ import annotations

from typing import Any

import torch

from xpnet.adapters.things import parts
from xpnet.layers import Layer
from xpnet.losses import Loss

__all__ = ["on_tape"]


def on_tape(bound: Layer | Loss, kept: Layer | Loss, y: Any, x: Any, params: dict[str, Any]) -> Any:
    """Give an output, computed off the tape, with a backward that is the layer's.

    What the layer remembers is saved as PyTorch saves it: it is freed after the backward, and
    refused if it was written into before.

    Parameters
    ----------
    bound : Layer or Loss
        The copy that has gone forward; it is used up.
    kept : Layer or Loss
        What it is a copy of. What both hold is not of this call.
    y : torch.Tensor
        Its output.
    x : torch.Tensor
        The input, as it came, on the tape or not.
    params : dict
        The parameters, as the module has them.
    """
    return _Call.apply(bound, kept, y, list(params), x, *params.values())


class _Call(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, bound: Any, kept: Any, y: Any, names: list[str], x: Any, *params: Any) -> Any:
        ctx.bound, ctx.names = bound, names
        ctx.places = [
            (part, name) for part, before in zip(parts(bound), parts(kept), strict=True)
            for name, a in vars(part).items()
            if isinstance(a, torch.Tensor) and vars(before).get(name) is not a
        ]
        ctx.save_for_backward(*(getattr(part, name) for part, name in ctx.places))
        _forget(ctx.places)
        # Another tensor than the layer may remember, which is not on the tape; and no view of x, since
        # PyTorch would not know of it.
        is_view = y.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
        return y.clone() if is_view else y.detach()

    @staticmethod
    def backward(ctx: Any, dout: Any) -> Any:
        for (part, name), a in zip(ctx.places, ctx.saved_tensors, strict=True):
            setattr(part, name, a)
        with torch.no_grad():
            grads = _gradients(ctx.bound, dout, ctx.names, with_dx=ctx.needs_input_grad[4])
        _forget(ctx.places)
        if torch.is_grad_enabled():  # create_graph=True
            grads = [None if g is None else _Once.apply(g.detach().requires_grad_()) for g in grads]
        return None, None, None, None, *grads


class _Once(torch.autograd.Function):  # type: ignore[misc]
    """A gradient that cannot be differentiated.

    PyTorch's `once_differentiable` says so only where `dout` is on the tape; else the second
    derivative would lack, silently, what comes through this layer.
    """

    @staticmethod
    def forward(ctx: Any, gradient: Any) -> Any:
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, dout: Any) -> Any:
        raise RuntimeError("trying to differentiate twice what xpnet differentiates once: its backward is "
                           "written by hand, and has none")


def _gradients(bound: Any, dout: Any, names: list[str], with_dx: bool) -> list[Any]:
    """Give `dx`, None if it is not wanted, and the gradients of the parameters."""
    if isinstance(bound, Loss):
        return [bound.backward(dout)]
    dx = None
    if with_dx:
        dx = bound.backward(dout)
    else:
        bound.backward_params(dout)
    grads = bound.grads
    _forget([(part, f"d{name}") for part in parts(bound) for name in part.param_ndims
             if f"d{name}" in vars(part)])
    return [dx, *(grads[name] for name in names)]


def _forget(places: list[tuple[Any, str]]) -> None:
    for part, name in places:
        setattr(part, name, None)
