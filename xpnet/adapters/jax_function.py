"""Layers, networks and losses as pure functions of JAX's arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from xpnet.adapters.things import check_thing, drawing
from xpnet.backend import backend_of
from xpnet.functional._array import Array
from xpnet.layers import Layer
from xpnet.layers.composite import run_forward
from xpnet.losses import Loss
from xpnet.networks import Network

__all__ = ["function_of"]


def function_of(thing: Layer | Loss) -> Callable[..., Any]:
    """Give the function of a layer, a network or a loss."""
    check_thing("to_jax", thing)
    return _of_loss(thing) if isinstance(thing, Loss) else _of_layer(thing)


def _of_layer(layer: Layer) -> Callable[..., Any]:
    own_state = {name: jnp.asarray(backend_of(s).to_numpy(s)) for name, s in layer.state.items()}
    calls = {flag: _call_of_layer(layer, flag) for flag in (False, True)}
    draws = bool(drawing(layer))

    def f(params: Mapping[str, Array], x: Array, *, state: Mapping[str, Array] | None = None,
          counter: Array | None = None, train_flg: bool = False) -> Any:
        missing = [name for name in layer.param_ndims if name not in params]
        if missing:
            raise ValueError(f"{layer.name} wants all its parameters; got none for {', '.join(missing)}")
        if train_flg and draws and counter is None:
            raise ValueError(f"{layer.name} draws random numbers in training and wants a counter: seed and "
                             "step, int32, of shape (2,)")
        _check_arrays(layer.name, {**params, **(state or {}), "x": x, "counter": counter})
        if isinstance(layer, Network) and params:
            x = x.astype(next(iter(params.values())).dtype)
        y, state = calls[bool(train_flg)](dict(params), x, {**own_state, **(state or {})}, counter)
        # A layer's backward gives no gradient of its state.
        return (y, jax.lax.stop_gradient(state)) if train_flg and state else y

    return f


def _call_of_layer(layer: Layer, train_flg: bool) -> Callable[..., Any]:
    def run(params: Any, x: Array, state: Any, counter: Array | None) -> tuple[Layer, Array]:
        bound = layer.bind(params, state, counter)
        return bound, run_forward(bound, x, train_flg)

    def plain(params: Any, x: Array, state: Any, counter: Array | None) -> tuple[Array, Any]:
        bound, y = run(params, x, state, counter)
        return y, dict(bound.state)

    call = jax.custom_vjp(plain)

    def forward(*inputs: Any) -> tuple[Any, Any]:
        return call(*inputs), inputs

    def backward(inputs: Any, douts: Any) -> Any:
        # Once more forward: what the layer remembers is no array. A compiler sees that it is the same.
        bound, _ = run(*inputs)
        dx = bound.backward(douts[0])
        return dict(bound.grads), dx if _is_floating(inputs[1]) else None, None, None

    call.defvjp(forward, backward)
    return call


def _of_loss(loss: Loss) -> Callable[..., Any]:
    given = {name: a for name, a in loss.arguments.items() if hasattr(a, "shape")}
    loss = loss.bind()
    vars(loss).update({name: jnp.asarray(backend_of(a).to_numpy(a)) for name, a in given.items()})

    call = jax.custom_vjp(lambda x, t, sample_weight: loss.bind().forward(x, t, sample_weight))

    def forward(x: Any, t: Any, sample_weight: Any) -> tuple[Array, Any]:
        constants = {"t": t, "sample_weight": sample_weight}
        for name, a in constants.items():
            if a is not None and a.perturbed:
                raise TypeError(f"{loss.name} gives no gradient of {name}: pass jax.lax.stop_gradient({name})")
        inputs = [None if a is None else a.value for a in (x, t, sample_weight)]
        return call(*inputs), inputs

    def backward(inputs: Any, dout: Any) -> Any:
        x = inputs[0]
        if isinstance(dout, SymbolicZero):
            return jnp.zeros_like(x), None, None
        bound = loss.bind()
        bound.forward(*inputs)
        return bound.backward(dout), None, None

    call.defvjp(forward, backward, symbolic_zeros=True)

    def f(x: Array, t: Array, sample_weight: Array | None = None) -> Array:
        _check_arrays(loss.name, {"x": x, "t": t, "sample_weight": sample_weight})
        return call(x, t, sample_weight)

    return f


def _check_arrays(where: str, arrays: Mapping[str, Any]) -> None:
    for name, a in arrays.items():
        if a is not None and not isinstance(a, jax.Array):
            raise TypeError(f"{where} wants arrays of JAX's; {name} is {type(a).__name__}")


def _is_floating(a: Array) -> bool:
    return bool(jnp.issubdtype(a.dtype, jnp.floating))
