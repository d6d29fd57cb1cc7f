"""A module of PyTorch as a layer."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import torch

from xpnet.adapters.foreign_layer import ForeignLayer
from xpnet.functional._array import Array

__all__ = ["TorchLayer"]


class TorchLayer(ForeignLayer):
    """A module of PyTorch, differentiated by its autograd; made by `xpnet.adapters.from_torch`.

    Parameters
    ----------
    module : torch.nn.Module
        Called with one tensor, it gives one.
    """

    has_train_flg: ClassVar[bool] = True
    recordable: ClassVar[bool] = False

    def __init__(self, module: Any) -> None:
        super().__init__()
        if not isinstance(module, torch.nn.Module):
            raise TypeError(f"{self.name} wants a torch.nn.Module; got {module!r:.60}")
        every = dict(module.named_parameters())
        params = {name: p for name, p in every.items() if p.requires_grad}
        buffers = dict(module.named_buffers())
        frozen = {name: p for name, p in every.items() if name not in params}
        self._own(*({name: a.detach().clone() for name, a in own.items()}
                    for own in (params, {**buffers, **frozen})))
        self._written = frozenset(buffers)
        self._dtypes = {name: a.dtype for name, a in every.items()}
        # Copies of the module whose own arrays take no memory: others are put in their place.
        blank = copy.deepcopy(module, {id(a): _without_memory(a) for a in (*every.values(), *buffers.values())})
        trained = blank if module.training else copy.deepcopy(blank).train()
        self._modules = {True: trained, False: copy.deepcopy(blank).eval()}

    def forward(self, x: Array, train_flg: bool = True) -> Array:
        """Compute what the module does; in training, hold the buffers afterwards that it leaves.

        Parameters
        ----------
        x : torch.Tensor
            As the module wants it.
        train_flg : bool
            Whether as in its training mode, or in its evaluation mode.
        """
        self.check_input(x)
        self._check_alone()
        if not isinstance(x, torch.Tensor):
            raise TypeError(f"{self.name} wants a tensor of PyTorch's; got {type(x).__name__}")
        params = {name: self._dense(name).detach().requires_grad_() for name in self.param_ndims}
        state = {name: self._as_bound(name, params) for name in self.state_ndims}
        with torch.enable_grad():
            inside = x.detach().requires_grad_(x.is_floating_point())
            held = {**params, **state}
            y = torch.func.functional_call(self._modules[bool(train_flg)], held, (inside,))
        if not isinstance(y, torch.Tensor):
            raise TypeError(f"{self.name} wants a module that gives a tensor; got {type(y).__name__}")
        if train_flg:
            for name in self._written:
                setattr(self, name, held[name].detach().to(getattr(self, name).dtype))

        def pull(dout: Array) -> tuple[Array, dict[str, Array]]:
            wanted = [*params.values(), *([inside] if inside.requires_grad else [])]
            grads = [torch.zeros_like(a) for a in wanted] if not y.requires_grad else torch.autograd.grad(
                y, wanted, dout, retain_graph=True, allow_unused=True, materialize_grads=True)
            return (grads[-1] if inside.requires_grad else None), dict(zip(params, grads, strict=False))

        self._pull, self._y_shape = pull, tuple(y.shape)
        return y.detach()

    def _dense(self, name: str) -> Any:
        """Give a parameter, without gaps in memory if it has one axis: batch_norm's backward reads past them."""
        p = getattr(self, name)
        return p.contiguous() if p.ndim == 1 else p

    def _as_bound(self, name: str, params: dict[str, Any]) -> Any:
        """Give state that a module may write into, in the dtype of the parameters if these were cast."""
        state, first = getattr(self, name), next(iter(params), None)
        if first is not None and state.is_floating_point() and params[first].dtype != self._dtypes[first]:
            state = state.to(params[first].dtype)
        return state.clone() if name in self._written else state


def _without_memory(a: Any) -> Any:
    blank = torch.empty_like(a.detach(), device="meta")
    return torch.nn.Parameter(blank, a.requires_grad) if isinstance(a, torch.nn.Parameter) else blank
