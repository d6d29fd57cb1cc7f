"""scikit-learn's solvers as optimisers of xpnet."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from xpnet.functional._array import Array, array_namespace, device
from xpnet.optimizers import SGD, Adam, Momentum, Nesterov, Optimizer

__all__ = ["RatedOptimizer", "adam", "sgd", "with_rate"]


class _Adam(Adam):
    """Adam with `eps` added where scikit-learn adds it: to the root before `v` is freed of its bias.

    So does the book, and Kingma & Ba 2015 allow it at the end of section 2.
    """

    def numbers(self, step: Array, dtype: Any) -> dict[str, Array]:
        """Give what frees the means of their bias."""
        scale = super().numbers(step, dtype)["scale"]
        return {"scale": scale, "eps": scale * self.eps}


def adam(lr: float, beta_1: float, beta_2: float, epsilon: float) -> Optimizer:
    """Give scikit-learn's Adam."""
    return _Adam(lr, beta_1, beta_2, epsilon)


def sgd(lr: float, momentum: float, nesterov: bool) -> Optimizer:
    """Give scikit-learn's SGD, at a constant learning rate."""
    if not momentum:
        return SGD(lr)
    return Nesterov(lr, momentum) if nesterov else Momentum(lr, momentum)


class RatedOptimizer:
    """An optimiser whose learning rate is part of its state, so that the step need not be compiled anew.

    Parameters
    ----------
    optimizer : Optimizer
        What takes the steps; its learning rate is the first.
    kernels : mapping
        A backend's, with which to take them.
    """

    recordable = True

    def __init__(
        self, optimizer: Optimizer, kernels: Mapping[str, Callable[..., Any]] = MappingProxyType({})
    ) -> None:
        self._optimizer, self._kernels = optimizer, kernels

    def with_kernels(self, kernels: Mapping[str, Callable[..., Any]]) -> RatedOptimizer:
        """Give a copy that uses a backend's kernels."""
        return RatedOptimizer(self._optimizer, kernels)

    def init(self, params: Mapping[str, Array]) -> dict[str, Any]:
        """Give the state before the first step, with the first "rate"."""
        state = self._optimizer.init(params)
        like = next(iter(params.values()))
        rate = array_namespace(like).full((), self._optimizer.lr, dtype=like.dtype, device=device(like))
        return {**state, "rate": rate}

    def update(
        self, params: Mapping[str, Array], grads: Mapping[str, Array], state: Mapping[str, Any], *,
        stack_axes: int = 0,
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """Take one step at the rate that the state says."""
        rest = {name: a for name, a in state.items() if name != "rate"}
        rate = state["rate"]
        xp = array_namespace(rate)
        step = xp.zeros((), dtype=xp.int32, device=device(rate))  # which what is scheduled wants
        now = dataclasses.replace(self._optimizer, lr=lambda _: rate).with_kernels(self._kernels)
        params, after = now.update(params, grads, {**rest, "step": step}, stack_axes=stack_axes)
        return params, {**{name: after[name] for name in rest}, "rate": rate}


def with_rate(state: Mapping[str, Any], rate: float, kept: float) -> dict[str, Any]:
    """Give the state of a `RatedOptimizer` with another rate, and its velocity so many times what it is."""
    new = dict(state)
    if "v" in state and kept != 1:
        new["v"] = {name: v * kept for name, v in state["v"].items()}
    like = state["rate"]
    new["rate"] = array_namespace(like).full((), rate, dtype=like.dtype, device=device(like))
    return new
