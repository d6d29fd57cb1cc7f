"""Steps of xpnet's optimisers on any library, and of torch.optim in float64 to hold them against."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from variants import Host, Variant

from xpnet.optimizers import SGD, AdaGrad, Adam, AdamW, Momentum, Nesterov, Optimizer, RMSprop

Params = dict[str, Host]

OPTIMIZERS: dict[type[Optimizer], tuple[str, dict[str, Any]]] = {
    # ours: PyTorch's, and what makes it that
    SGD: ("SGD", {}),
    Momentum: ("SGD", {"momentum": 0.9}),
    Nesterov: ("SGD", {"momentum": 0.9, "nesterov": True}),
    AdaGrad: ("Adagrad", {}),
    RMSprop: ("RMSprop", {}),
    Adam: ("Adam", {}),
    AdamW: ("AdamW", {}),
}


def problem(steps: int, *stack: int) -> tuple[Params, list[Params]]:
    """Give parameters, some of them 0, and their gradients at each step, one of them always 0."""
    rng = np.random.default_rng(0)
    params = {"W": rng.standard_normal((*stack, 3, 2)), "b": np.zeros((*stack, 2))}
    grads = [{name: rng.standard_normal(p.shape) for name, p in params.items()}
             for _ in range(steps)]
    for g in grads:
        g["W"][..., 0, 1] = 0.0  # as behind a unit that never fires
    return params, grads


def steps(
    xp: Variant, optimizer: Optimizer, params: Mapping[str, Host], grads: Sequence[Params], *,
    stack_axes: int = 0, dtype: str | None = None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Give the parameters and the states after each step, and see that nothing is written into."""
    traced = 0

    def update(p: Any, g: Any, state: Any) -> Any:
        nonlocal traced
        traced += 1
        return optimizer.update(p, g, state, stack_axes=stack_axes)

    step = importlib.import_module("jax").jit(update) if xp.jit else update
    p = {name: xp.asarray(a, dtype) for name, a in params.items()}
    state = optimizer.init(p)
    found: list[dict[str, Any]] = []
    states: list[dict[str, Any]] = []
    for i, gradients in enumerate(grads):
        g = {name: xp.asarray(a, dtype) for name, a in gradients.items()}
        held = [(array, copied(xp, array)) for array in leaves([p, g, state])] if i < 2 else []
        p, state = step(p, g, state)
        for array, value in held:
            xp.check(array, value, rtol=0)
        found.append(p)
        states.append(state)
    assert not xp.jit or traced == 1  # what is remembered keeps its structure and dtypes
    return found, states


def leaves(tree: Any) -> list[Any]:
    """Give the arrays in nested dictionaries and lists."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    return [leaf for branch in tree for leaf in leaves(branch)] if isinstance(tree, list) else [tree]


def copied(xp: Variant, array: Any) -> Any:
    """Copy to the host, or, without values, something of the same shape and dtype."""
    if xp.values:
        return np.array(xp.backend.to_numpy(array))
    return np.zeros(tuple(array.shape), str(array.dtype).rpartition(".")[2])


def torch_steps(
    cls: type[Optimizer],
    params: Mapping[str, Host],
    grads: Sequence[Params],
    *,
    lr: float,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    clip_norm: float | None = None,
    scheduler: Callable[[Any, Any], Any] | None = None,
) -> list[Params]:
    """Give the parameters after each step of PyTorch's optimiser.

    `scheduler` makes a scheduler of the module `torch.optim.lr_scheduler` and the optimiser.
    """
    torch = pytest.importorskip("torch")
    tensors = {name: torch.tensor(p, dtype=torch.float64) for name, p in params.items()}
    name, options = OPTIMIZERS[cls]
    before, behind = (0.0, weight_decay) if decoupled else (weight_decay, 0.0)
    optimizer = getattr(torch.optim, name)(
        list(tensors.values()), lr=lr, weight_decay=before, **options
    )
    scheduled = scheduler(torch.optim.lr_scheduler, optimizer) if scheduler else None
    out = []
    for gradients in grads:
        for name, p in tensors.items():
            p.grad = torch.tensor(gradients[name], dtype=torch.float64)
            # As torch.optim.AdamW begins; the other optimisers there have no such option.
            p.mul_(1 - optimizer.param_groups[0]["lr"] * behind)
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(tensors.values(), clip_norm)
        optimizer.step()
        if scheduled is not None:
            scheduled.step()
        out.append({name: p.numpy().copy() for name, p in tensors.items()})
    return out
