"""Where in a network NaN or infinity first appeared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from xpnet.functional._array import Array
from xpnet.networks import Network
from xpnet.training.checks import finite
from xpnet.training.step import Carry

__all__ = ["UPDATE", "NonFiniteLossError", "first_non_finite"]

UPDATE = "the optimiser's update"


class NonFiniteLossError(ValueError):
    """The loss became NaN or infinite."""


def first_non_finite(network: Network, carry: Carry, batch: Mapping[str, Array]) -> str:
    """Say where NaN or infinity first appears in a step; of a stack, in all of its networks.

    Parameters
    ----------
    network : Network
        The network.
    carry : dict
        What the step began with, all of it finite.
    batch : mapping
        What the step was given: "x", "t" and, if there is one, "weight".
    """
    bound = network.bind(carry["params"], carry["state"], carry["counter"])
    found: list[str] = []

    def watch(of: Any, method: str, where: str) -> None:
        original: Callable[..., Any] = getattr(of, method)

        def watched(*args: Any) -> Any:
            out = original(*args)
            arrays = [] if out is None else [out]
            if method != "forward":
                arrays += getattr(of, "grads", {}).values()
            if not found and not finite(arrays, network.stack_axes):
                found.append(f"{where} of {of.name}")
            return out

        setattr(of, method, watched)

    for leaf in bound.leaves():
        watch(leaf, "forward", "the output")
        for method in ("backward", "backward_params"):
            watch(leaf, method, "a gradient")
    watch(bound.last_layer, "forward", "the loss")
    watch(bound.last_layer, "backward", "the gradient")
    loss, grads = bound.loss_and_gradient(batch["x"], batch["t"], batch.get("weight"))
    if not found and not finite([loss, *grads.values()], network.stack_axes):
        found.append("what the network adds to the loss")
    return found[0] if found else UPDATE
