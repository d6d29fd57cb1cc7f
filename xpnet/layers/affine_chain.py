"""Affine layers with Relus between them, computed together where a backend can."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from xpnet.functional._array import Array, sum_dtype
from xpnet.layers.affine import Affine
from xpnet.layers.layer import Layer
from xpnet.layers.relu import Relu
from xpnet.layers.sequential import Sequential

__all__ = ["AffineChain", "with_chains", "without_chains"]


class AffineChain(Sequential):
    """Affine, Relu, Affine, … as one layer, which holds the layers themselves.

    Some libraries add the bias, apply ReLU and mask its gradient within the products of matrices, which
    takes a layer by itself three more passes over the memory. It is made by `with_chains` alone. What is no
    plain batch of rows goes through the layers one by one, and so does what is no training: a ReLU within a
    product may make 0 of NaN, which predictions must not hide.

    Parameters
    ----------
    layers : mapping
        The layers by name, Affine at both ends.
    kernels : mapping
        With "affine_chain": `(x, Ws, bs)` to the output and what the backward is to be handed; and with
        "affine_chain_backward": `(dout, handed, Ws, found, with_dx=…)` to `dx`, which calls
        `found(k, dW, db)` for each Affine layer as soon as its gradients are there.
    """

    def __init__(self, layers: Mapping[str, Layer], kernels: Mapping[str, Callable[..., Any]]) -> None:
        names = [layer.name for layer in layers.values()]
        super().__init__(layers)
        for layer, name in zip(self.layers.values(), names, strict=True):
            layer.name = name  # which is that in the network
        self._kernels = kernels
        self._handed: Any = None
        self._shape: tuple[int, ...] = ()

    def forward(self, x: Array, train_flg: bool = True) -> Array:
        """Compute all layers."""
        affines = self._affines()
        self._handed = None
        if not train_flg or not self._fits(x, affines):
            return super().forward(x, train_flg)
        self.check_input(x)
        y, self._handed = self._kernels["affine_chain"](
            x, [layer.W for layer in affines], [layer.b for layer in affines])
        self._shape = y.shape
        return y

    def backward(self, dout: Array) -> Array:
        """Set the gradients of all parameters, and give `dx`."""
        return super().backward(dout) if self._handed is None else self._backward(dout, with_dx=True)

    def backward_params(self, dout: Array) -> None:
        """Set the gradients of all parameters alone."""
        if self._handed is None:
            super().backward_params(dout)
        else:
            self._backward(dout, with_dx=False)

    def _backward(self, dout: Array, with_dx: bool) -> Array:
        affines = self._affines()
        self.check_dout(dout, self._shape)

        def found(k: int, dW: Array, db: Array) -> None:
            affines[k].dW, affines[k].db = dW, db
            self.has_gone_backward(affines[k])

        return self._kernels["affine_chain_backward"](
            dout, self._handed, [layer.W for layer in affines], found, with_dx=with_dx)

    def has_gone_backward(self, layer: Affine) -> None:
        """Do nothing with a layer whose gradients are there: for those who watch the chain to replace."""

    def _affines(self) -> list[Affine]:
        return [layer for layer in self.layers.values() if isinstance(layer, Affine)]

    def _fits(self, x: Array, affines: list[Affine]) -> bool:
        """Tell whether these are rows for one network; whatever is wrong, the layers have words for."""
        widths = [affines[0].W.shape[0], *(layer.W.shape[-1] for layer in affines)]
        return (x.ndim == 2 and x.shape[-1] == widths[0]
                and all(layer.W.ndim == 2 for layer in affines)
                and all(layer.W.shape == pair for layer, pair in zip(affines, pairwise(widths), strict=True))
                and all(layer.W.dtype == layer.b.dtype == x.dtype == sum_dtype(x)
                        and layer.b.shape == layer.W.shape[1:] for layer in affines))


def with_chains(
    layers: Mapping[str, Layer], kernels: Mapping[str, Callable[..., Any]]
) -> dict[str, Layer]:
    """Put chains in the place of the layers that they are made of, as long ones as there are."""
    found: dict[str, Layer] = {}
    run: dict[str, Layer] = {}

    def end() -> None:
        rest = [run.popitem()] if run and type([*run.values()][-1]) is Relu else []
        if len(run) > 1:
            found[f"{next(iter(run))}…{[*run][-1]}"] = AffineChain(run, kernels)
        else:
            found.update(run)
        found.update(rest)
        run.clear()

    for name, layer in layers.items():
        if type(layer) is not (Relu if len(run) % 2 else Affine):
            end()
        if type(layer) is Affine or run:
            run[name] = layer
        else:
            found[name] = layer
    end()
    return found


def without_chains(layers: Mapping[str, Layer]) -> dict[str, Layer]:
    """Put the layers of chains in their places."""
    return {name: layer for chain, one in layers.items()
            for name, layer in (one.layers if isinstance(one, AffineChain) else {chain: one}).items()}
