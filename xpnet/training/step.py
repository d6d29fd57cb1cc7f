"""One step of training, and the scores of some rows, as pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

from xpnet.backend import Backend
from xpnet.distributed.gradient_sum import GradientSum
from xpnet.functional._array import Array, array_namespace, device, size, sum_dtype
from xpnet.networks import Network

__all__ = ["Carry", "Optimizer", "Step", "first_carry", "gathered", "operations", "scores", "training_step",
           "with_kernels"]

Carry: TypeAlias = dict[str, Any]
"""All that a step changes, as nested dicts of arrays: "params", "state", "optimizer", "counter"."""
Step: TypeAlias = Callable[[Carry, dict[str, Array], Array], tuple[Carry, Array]]


class Optimizer(Protocol):
    """What turns gradients into new parameters; see `xpnet.SGD`."""

    def init(self, params: Mapping[str, Array]) -> Any:
        """Give the state before the first step."""

    def update(
        self, params: Mapping[str, Array], grads: Mapping[str, Array], state: Any, *,
        stack_axes: int = 0,
    ) -> tuple[dict[str, Array], Any]:
        """Give new parameters and the new state."""


def first_carry(network: Network, optimizer: Optimizer, counter: Array) -> Carry:
    """Give what the first step begins with.

    Parameters
    ----------
    network : Network
        Whose parameters and state to begin with.
    optimizer : Optimizer
        Whose state to begin with.
    counter : array
        Seed and step, int32, `(2,)`, or `(K, 2)` for a stack.
    """
    params = dict(network.params)
    return {"params": params, "state": dict(network.state),
            "optimizer": optimizer.init(params), "counter": counter}


def gathered(arrays: Mapping[str, Array], rows: Array, shared: bool) -> dict[str, Array]:
    """Give a batch.

    Parameters
    ----------
    arrays : mapping
        Arrays `(N, …)`.
    rows : array or None
        Numbers of rows, `(B,)`, or `(K, B)`, some for each network of a stack; None if the arrays
        are the batch.
    shared : bool
        Whether a stack of networks shares the batch, which then gets an axis of length 1 in front.
    """
    def batch(a: Array) -> Array:
        if rows is not None:
            xp = array_namespace(a)
            flat = xp.take(a, xp.reshape(rows, (-1,)), axis=0)
            a = xp.reshape(flat, (*rows.shape, *a.shape[1:])) if rows.ndim > 1 else flat
        return a[None, ...] if shared else a

    return {name: batch(a) for name, a in arrays.items()}


def with_kernels(optimizer: Optimizer, backend: Backend) -> Optimizer:
    """Give an optimiser that uses the backend's kernels, if it can."""
    can = getattr(optimizer, "with_kernels", None)
    return optimizer if can is None else can(backend.kernels)


def operations(network: Network, batch_size: int) -> float:
    """Tell roughly how many additions and multiplications a step is.

    Infinite where a parameter is used at many places of an image, which are not counted.
    """
    if any(ndim > 2 for ndim in network.param_ndims.values()):
        return math.inf
    return 6.0 * batch_size * sum(size(p) for p in network.params.values())


def training_step(
    network: Network, optimizer: Optimizer, shared: bool, together: GradientSum | None = None
) -> Step:
    """Make the step `(carry, arrays, rows) -> (carry, loss)`.

    It reads the network's structure and changes nothing, so that a backend can compile it.

    Parameters
    ----------
    network : Network
        The network.
    optimizer : Optimizer
        What makes new parameters of gradients.
    shared : bool
        Whether a stack of networks shares the batch.
    together : GradientSum, optional
        Computes the loss and the gradient where several ranks have a part of the batch each.
    """
    axes = network.stack_axes
    if together is not None:
        network = network.with_gradient(together.loss_and_gradient)

    def step(carry: Carry, arrays: dict[str, Array], rows: Array) -> tuple[Carry, Array]:
        batch = gathered(arrays, rows, shared)
        bound = network.bind(carry["params"], carry["state"], carry["counter"])
        loss, grads = bound.loss_and_gradient(batch["x"], batch["t"], batch.get("weight"))
        if together is not None:
            together.check_asked(network)
        params, optimizer_state = optimizer.update(
            carry["params"], grads, carry["optimizer"], stack_axes=axes
        )
        loss = array_namespace(loss).astype(loss, sum_dtype(loss), copy=False)  # of 16 bits
        return {"params": params, "state": dict(bound.state), "optimizer": optimizer_state,
                "counter": counted_on(carry["counter"])}, loss

    return step


def counted_on(counter: Array) -> Array:
    """Give the counter of the next step."""
    xp = array_namespace(counter)
    zero_one = xp.arange(2, dtype=counter.dtype, device=device(counter))  # nothing from the host
    return counter + zero_one


def scores(network: Network) -> Callable[[Mapping[str, Array], Mapping[str, Array], Array], Array]:
    """Make the function `(params, state, x) -> scores`, which a backend can compile."""

    def predict(
        params: Mapping[str, Array], state: Mapping[str, Array], x: Array
    ) -> Array:
        return network.bind(params, state).predict(x[None, ...] if network.stack_axes else x)

    return predict
