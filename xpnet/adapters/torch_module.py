"""Layers, networks and losses as modules of PyTorch."""

from __future__ import annotations

import copy
from typing import Any

import torch

from xpnet.adapters.things import check_thing, drawing
from xpnet.adapters.torch_call import on_tape
from xpnet.backend import backend_of
from xpnet.functional._array import Array
from xpnet.layers import Layer
from xpnet.layers.composite import run_forward
from xpnet.losses import Loss
from xpnet.networks import Network

__all__ = ["LayerModule", "LossModule", "module_of"]


def module_of(thing: Layer | Loss) -> LayerModule | LossModule:
    """Give the module of a layer, a network or a loss."""
    check_thing("to_torch", thing)
    return LossModule(thing) if isinstance(thing, Loss) else LayerModule(thing)


class LayerModule(torch.nn.Module):  # type: ignore[misc]
    """A layer or network as a module; made by `xpnet.adapters.to_torch`.

    Parameters
    ----------
    layer : Layer
        The layer. Each call is one of a bound copy, so that several may come before a backward.
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        for name, p in layer.params.items():
            self.register_parameter(name, torch.nn.Parameter(_copied(p)))
        for name, s in layer.state.items():
            self.register_buffer(name, _copied(s))
        # The arrays are the module's own; the layer has such as take no memory.
        self._layer = layer.bind(
            *({name: torch.empty_like(a, device="meta") for name, a in own}
              for own in (self.named_parameters(), self.named_buffers())))
        for k, leaf in enumerate(drawing(layer), start=1):
            self.register_buffer(f"counter{k}", copy.copy(leaf).next_counter(torch.empty(0)))

    def forward(self, x: Any) -> Any:
        """Compute the output; in training, update the buffers.

        Parameters
        ----------
        x : torch.Tensor
            As the layer wants it.
        """
        _check_tensor(self, x)
        params, state = ({name: getattr(self, name) for name in names}  # as they are now: parametrized, if so
                         for names in (self._layer.param_ndims, self._layer.state_ndims))
        if isinstance(self._layer, Network) and params:
            x = x.to(next(iter(params.values())).dtype)
        with torch.no_grad():
            bound = self._layer.bind({name: p.detach() for name, p in params.items()}, state)
            drawn = drawing(bound)
            if drawn and self.training and torch._C._current_graph_task_id() != -1:
                raise RuntimeError(f"{self.extra_repr()} goes forward within a backward, as torch.utils.checkpoint "
                                   "lets it, and would draw other random numbers than before")
            for k, leaf in enumerate(drawn, start=1):
                leaf.counter = self.get_buffer(f"counter{k}").clone()
            y = run_forward(bound, x.detach(), self.training)
            if self.training:
                self._count_on(bound)
        return on_tape(bound, self._layer, y, x, params)

    def extra_repr(self) -> str:
        """Show the layer's class."""
        return type(self._layer).__name__

    def _count_on(self, bound: Layer) -> None:
        for name, s in bound.state.items():
            self.get_buffer(name).copy_(s)
        for k in range(1, len(drawing(bound)) + 1):
            self.get_buffer(f"counter{k}")[..., 1] += 1


class LossModule(torch.nn.Module):  # type: ignore[misc]
    """A loss as a module; made by `xpnet.adapters.to_torch`.

    Parameters
    ----------
    loss : Loss
        The loss. Arrays that it was made with, as class weights, become buffers.
    """

    def __init__(self, loss: Loss) -> None:
        super().__init__()
        self._loss = loss.bind()
        for name, a in loss.arguments.items():
            if hasattr(a, "shape"):
                self.register_buffer(name, _copied(a))
                setattr(self._loss, name, None)

    def forward(self, x: Any, t: Any, sample_weight: Any = None) -> Any:
        """Compute the loss.

        Parameters
        ----------
        x : torch.Tensor
            Scores.
        t : torch.Tensor
            Labels, as the loss wants them.
        sample_weight : torch.Tensor, optional
            By how much each row counts.
        """
        _check_tensor(self, x)
        with torch.no_grad():
            bound = self._loss.bind()
            vars(bound).update(self.named_buffers())
            loss = bound.forward(x.detach(), t, sample_weight)
        return on_tape(bound, self._loss, loss, x, {})

    def extra_repr(self) -> str:
        """Show the loss's class."""
        return type(self._loss).__name__


def _check_tensor(module: Any, x: object) -> None:
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{module.extra_repr()} wants a tensor of PyTorch's; got {type(x).__name__}")


def _copied(a: Array) -> Any:
    """Give a tensor of its own memory."""
    return a.detach().clone() if isinstance(a, torch.Tensor) else torch.tensor(backend_of(a).to_numpy(a))
