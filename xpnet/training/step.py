"""One step of training, as a pure function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

from xpnet.functional._array import Array, array_namespace
from xpnet.networks import Network

__all__ = ["Optimizer", "Step", "evaluation", "training_step"]


class Optimizer(Protocol):
    """What turns gradients into new parameters; see `xpnet.SGD`."""

    def init(self, params: Mapping[str, Array]) -> Any:
        """Give the state before the first step."""

    def update(
        self, params: Mapping[str, Array], grads: Mapping[str, Array], state: Any
    ) -> tuple[dict[str, Array], Any]:
        """Give new parameters and the new state."""


Step: TypeAlias = Callable[
    [dict[str, Array], Any, Array, Array, Array], tuple[dict[str, Array], Any, Array]
]


def training_step(network: Network, optimizer: Optimizer) -> Step:
    """Make the step `(params, state, x, t, rows) -> (params, state, loss)`.

    `rows` are the numbers of the batch's rows in `x` and `t`. The step reads the network's
    structure and changes nothing, so that a backend can compile it.
    """

    def step(
        params: dict[str, Array], state: Any, x: Array, t: Array, rows: Array
    ) -> tuple[dict[str, Array], Any, Array]:
        take = array_namespace(x).take
        bound = network.bind(params)
        loss, grads = bound.loss_and_gradient(take(x, rows, axis=0), take(t, rows, axis=0))
        params, state = optimizer.update(params, grads, state)
        return params, state, loss

    return step


def evaluation(network: Network) -> Callable[[dict[str, Array], Array, Array], Array]:
    """Make the function `(params, x, t) -> accuracy`, which a backend can compile."""

    def evaluate(params: dict[str, Array], x: Array, t: Array) -> Array:
        return network.bind(params).accuracy(x, t)

    return evaluate
