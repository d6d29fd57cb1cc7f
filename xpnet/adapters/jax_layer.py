"""A function of JAX's arrays as a layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import array_api_compat
import jax
import jax.numpy as jnp

from xpnet.adapters.foreign_layer import ForeignLayer
from xpnet.functional._array import Array, check_concrete

__all__ = ["JaxLayer"]


class JaxLayer(ForeignLayer):
    """A function of JAX's arrays, differentiated by `jax.vjp`; made by `xpnet.adapters.from_jax`.

    Parameters
    ----------
    function : callable
        A pure function `function(params, x)` that gives an array.
    params : dict
        Arrays by name, in dictionaries and lists within if need be.
    """

    recordable: ClassVar[bool] = False

    def __init__(self, function: Callable[[Any, Array], Array], params: Any) -> None:
        super().__init__()
        if not callable(function):
            raise TypeError(f"{self.name} wants a function of parameters and input; got {function!r:.60}")
        places, self._structure = jax.tree_util.tree_flatten_with_path(params)
        self._names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in places]
        if len({*self._names}) < len(places):
            raise ValueError(f"{self.name} wants places with names of their own; got "
                             f"{', '.join(map(repr, self._names))}")
        for name, (_, a) in zip(self._names, places, strict=True):
            if not isinstance(a, jax.Array) and not array_api_compat.is_numpy_array(a):
                raise TypeError(f"{self.name} wants arrays of JAX's or NumPy's for parameters; {name!r} is "
                                f"{type(a).__name__}")
            check_concrete(self.name, a, remedy=None)
        arrays = {name: jnp.asarray(a) for name, (_, a) in zip(self._names, places, strict=True)}
        floating = {name: a for name, a in arrays.items() if _is_floating(a)}
        self._own(floating, {name: a for name, a in arrays.items() if name not in floating})
        self._function = function

    def forward(self, x: Array) -> Array:
        """Compute the function.

        Parameters
        ----------
        x : jax.Array
            As the function wants it.
        """
        self.check_input(x)
        self._check_alone()
        if not isinstance(x, jax.Array):
            raise TypeError(f"{self.name} wants an array of JAX's; got {type(x).__name__}")
        constants = {name: getattr(self, name) for name in self.state_ndims}

        def of_named(params: dict[str, Array], x: Array) -> Array:
            held = {**params, **constants}
            return self._function(self._structure.unflatten([held[name] for name in self._names]), x)

        y, pull = jax.vjp(of_named, {name: getattr(self, name) for name in self.param_ndims}, x)
        if not isinstance(y, jax.Array):
            raise TypeError(f"{self.name} wants a function that gives an array; got {type(y).__name__}")

        def of_dout(dout: Array) -> tuple[Array, dict[str, Array]]:
            grads, dx = pull(dout)
            return (dx if _is_floating(x) else None), grads

        self._pull, self._y_shape = of_dout, tuple(y.shape)
        return y


def _is_floating(a: Array) -> bool:
    return bool(jnp.issubdtype(a.dtype, jnp.floating))
