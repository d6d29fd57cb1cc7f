"""JAX: whole steps under `jit`, with its own gradients or written by hand, and many steps as one scan."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers.peer import Peer
from benchmarks.work import BETA1, BETA2, EPS, Array, Work

__all__ = ["predictor", "training"]

Layers = list[tuple[Array, Array]]


def forward(params: Layers, x: Array) -> list[Array]:
    """Give the input of each layer, and the scores."""
    hs = [x]
    for k, (W, b) in enumerate(params):
        z = hs[-1] @ W + b
        hs.append(z if k == len(params) - 1 else jnp.maximum(z, 0))
    return hs


def loss_of(params: Layers, x: Array, t: Array) -> Array:
    """Compute the loss."""
    log_y = jax.nn.log_softmax(forward(params, x)[-1])
    return -jnp.take_along_axis(log_y, t[:, None], 1).mean()


def by_hand(params: Layers, x: Array, t: Array) -> tuple[Array, Layers]:
    """Compute the loss and its gradients, as xpnet's layers do."""
    *hs, scores = forward(params, x)
    log_y = jax.nn.log_softmax(scores)
    one_hot = t[:, None] == jnp.arange(scores.shape[1])
    loss = -jnp.where(one_hot, log_y, 0).sum() / len(x)
    dout = (jnp.exp(log_y) - one_hot) / len(x)
    grads: Layers = []
    for k in reversed(range(len(params))):
        grads.insert(0, (hs[k].T @ dout, dout.sum(0)))
        if k:
            dout = jnp.where(hs[k] > 0, dout @ params[k][0].T, 0)
    return loss, grads


def adam(p: Array, g: Array, m: Array, v: Array, steps: Array, lr: float) -> tuple[Array, Array, Array]:
    """Update by Adam's rule."""
    m = BETA1 * m + (1 - BETA1) * g
    v = BETA2 * v + (1 - BETA2) * g * g
    root = jnp.sqrt(v / (1 - BETA2**steps)) + EPS
    return p - lr * (m / (1 - BETA1**steps)) / root, m, v


def step_of(work: Work, hand: bool) -> Any:
    """Make the step `(carry, x, t, rows) -> (carry, loss)`."""
    gradient = by_hand if hand else jax.value_and_grad(loss_of)

    def step(carry: Any, x: Array, t: Array, rows: Array) -> tuple[Any, Array]:
        params, m, v, steps = carry
        x, t = (jnp.take(a, rows, axis=0, mode="clip") for a in (x, t))
        loss, grads = gradient(params, x, t)
        if work.optimizer == "SGD":
            params = jax.tree.map(lambda p, g: p - work.lr * g, params, grads)
            return (params, m, v, steps), loss
        steps = steps + 1
        flat, tree = jax.tree.flatten(params)
        others = map(jax.tree.leaves, (grads, m, v))
        found = [adam(p, g, m, v, steps, work.lr) for p, g, m, v in zip(flat, *others, strict=True)]
        params, m, v = (jax.tree.unflatten(tree, part) for part in zip(*found, strict=True))
        return (params, m, v, steps), loss

    return step


@functools.cache
def data_of(work: Work) -> tuple[Array, Array]:
    """Give the rows and labels: copies, all contenders' one."""
    x, t = work.data()
    return jnp.asarray(x), jnp.asarray(t)


class Jax(Peer):
    """A step under `jit`, which is given what it changes, or a scan over a block of steps."""

    def __init__(self, work: Work, hand: bool = False, scan: bool = False) -> None:
        self.scan = scan
        self.x, self.t = data_of(work)
        params = [(jnp.array(W), jnp.array(b)) for W, b in work.weights()]
        if work.optimizer == "SGD":
            self.carry: Any = (params, None, None, None)
        else:  # separate zeros: what is given away must not be given twice
            zeros = [jax.tree.map(jnp.zeros_like, params) for _ in range(2)]
            self.carry = (params, *zeros, jnp.zeros((), jnp.float32))
        step = step_of(work, hand)

        def steps(carry: Any, x: Array, t: Array, batches: Array) -> Any:
            return jax.lax.scan(lambda carry, rows: step(carry, x, t, rows), carry, batches)

        self.step = jax.jit(steps if scan else step, donate_argnums=0)

    def place(self, batches: Array) -> Any:
        batches = batches.astype(np.int32)
        return jnp.asarray(batches) if self.scan else batches

    def train(self, batches: Any) -> Any:
        if self.scan:
            self.carry, losses = self.step(self.carry, self.x, self.t, batches)
        else:
            losses = []
            for rows in batches:
                self.carry, loss = self.step(self.carry, self.x, self.t, rows)
                losses.append(loss)
        jax.block_until_ready((self.carry, losses))
        return losses


def training(work: Work, threads: int) -> dict[str, Any]:
    """Give the contenders, ready to be made."""
    return {"JAX, by hand, jit": lambda: Jax(work, hand=True),
            "JAX, value_and_grad in jit": lambda: Jax(work),
            "JAX, scan over a block": lambda: Jax(work, scan=True)}


def predictor(work: Work, rows: int, threads: int) -> dict[str, Any]:
    """Give functions of `x (rows, D)` that predict."""
    params = [(jnp.array(W), jnp.array(b)) for W, b in work.weights()]
    scores = jax.jit(lambda params, x: forward(params, x)[-1])
    return {"JAX, jit": lambda x: np.asarray(scores(params, x))}
