"""The loss and the gradient of a batch of which each rank has a part."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, Self

from xpnet._sums import Sums
from xpnet.distributed.statistics import synchronized
from xpnet.functional._array import Array, array_namespace, joined, size, sum_dtype
from xpnet.layers import Layer
from xpnet.layers.affine_chain import AffineChain
from xpnet.layers.composite import Composite, leaves_of
from xpnet.networks import Network

__all__ = ["GradientSum"]

LEAST = 2**20
"""Bytes of a message, at least: of smaller ones, MPI's latency would take a part."""
MOST = 8
"""Messages of a step, at most."""


class GradientSum:
    """What takes the place of a network's `loss_and_gradient`, where each of several ranks has a part of a batch.

    To be used in a `with` block, which all ranks leave, or this one by an exception.

    The gradient of each rank's rows, as a part of that of the batch's mean loss, goes in a few flat vectors,
    the last layer's first: large arrays as they are, small ones side by side. Each begins to be added up over
    the ranks as soon as it is there, while the layers before go backward. The last one has the loss as well,
    and the state.

    Parameters
    ----------
    sums : Sums
        Adds up vectors over the ranks.
    rows : slice
        Which rows of a batch are here.
    batch_size : int
        How many it has.
    synchronize : bool
        Whether batch normalisation takes its statistics over all of it.
    """

    def __init__(self, sums: Sums, rows: slice, batch_size: int, synchronize: bool) -> None:
        self._sums, self._first, self._batch_size = sums, rows.start, batch_size
        self._asked = False
        self._share = (rows.stop - rows.start) / batch_size
        self.kernels: Mapping[str, Callable[..., Any]] = (
            synchronized(self._add, self._share) if synchronize else {})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._sums.close(whole=kind is None)

    def loss_and_gradient(
        self, network: Network, x: Array, t: Array, sample_weight: Array | None
    ) -> tuple[Array, dict[str, Array]]:
        """Compute the loss and its gradient, those of the whole batch; and so the state.

        Parameters
        ----------
        network : Network
            A bound copy, whose layers are changed.
        x, t, sample_weight : array
            As for `Network.loss_and_gradient`: the rows that are here.
        """
        self._asked = True
        for leaf in network.leaves():
            if leaf.draws:
                leaf.first_row, leaf.batch_rows = self._first, self._batch_size  # type: ignore[attr-defined]
        last = network.last_layer
        loss = last.forward(network.predict(x, train_flg=True), t, sample_weight)
        weight = last.total_weight()
        share: Any = weight / self._batch_size
        if not isinstance(weight, int):
            share = array_namespace(loss).broadcast_to(share, loss.shape)  # of networks that share their rows
        flat = _Flat(self._sums, network.params)
        with ExitStack() as stack:
            if _is_ours(type(network).backward_params):
                for layer in network.layers.values():
                    _watch(layer, network.params.owners, flat.take, stack)
            network.backward_params(last.backward(share))
        flat.take(network.grads)

        xp = array_namespace(loss)
        others: dict[str, Array] = {"": loss * share}
        if not isinstance(weight, int):
            others["weight"] = share
        floating = {name: a for name, a in network.state.items() if xp.isdtype(a.dtype, "real floating")}
        others |= {f"state {name}": a * self._share for name, a in floating.items()}
        found = flat.end(others)

        network.state.update({name: found.pop(f"state {name}") for name in floating})
        loss = found.pop("")
        if "weight" in found:
            total = found.pop("weight")
            total = xp.where(total == 0, float("inf"), total)
            loss = loss / total
            found = {name: xp.astype(g / total[(..., *(None,) * (g.ndim - total.ndim))], g.dtype, copy=False)
                     for name, g in found.items()}
        return loss, found

    def check_asked(self, network: Network) -> None:
        """Refuse a network (TypeError) that has not asked for the sum since this was last called."""
        if not self._asked:
            raise TypeError(f"{network.name}: a loss_and_gradient of its own wants to call Network's, which adds up "
                            "what all ranks have")
        self._asked = False

    def wait(self) -> None:
        """Wait for the device, if other ranks may keep it from coming to an end."""
        self._sums.wait()

    def _add(self, a: Array) -> Array:
        xp = array_namespace(a)
        return xp.reshape(self._sums.finish(self._sums.start(xp.reshape(a, (-1,)))), a.shape)


class _Flat:
    """Arrays in few flat vectors, each of which begins to be added up when it is full; large ones by themselves.

    Parameters
    ----------
    sums : Sums
        Adds them up.
    params : mapping
        All parameters by name: of the shapes of what is to come.
    """

    def __init__(self, sums: Sums, params: Mapping[str, Array]) -> None:
        self._sums = sums
        self._full = max(LEAST, sum(map(_bytes, params.values())) // MOST)
        self._dtypes = {name: p.dtype for name, p in params.items()}
        self._order = list(params)
        self._taken: set[str] = set()
        self._waiting: dict[str, Array] = {}
        self._started: list[tuple[dict[str, tuple[int, ...]], Any]] = []

    def take(self, arrays: Mapping[str, Array]) -> None:
        """Take some of the gradients; those that were taken before stay as they are."""
        fresh = {name: a for name, a in arrays.items() if name not in self._taken}
        self._taken |= arrays.keys()
        for name, a in fresh.items():
            if _bytes(a) >= self._full:
                self._start({name: a})  # where it lies
            else:
                self._waiting[name] = a
        if len(self._taken) < len(self._order) and sum(map(_bytes, self._waiting.values())) >= self._full:
            self._start(self._waiting)  # the last ones go with what `end` brings
            self._waiting = {}

    def end(self, others: Mapping[str, Array]) -> dict[str, Array]:
        """Take the last arrays, and give the sums of all, by name."""
        self._dtypes |= {name: a.dtype for name, a in others.items()}
        self._start({**self._waiting, **others})
        found: dict[str, Array] = {}
        for shapes, started in self._started:
            found |= self._split(self._sums.finish(started), shapes)
        return {name: found[name] for name in (*self._order, *others)}

    def _start(self, arrays: Mapping[str, Array]) -> None:
        xp = array_namespace(*arrays.values())
        flat = joined([xp.reshape(xp.astype(a, sum_dtype(a), copy=False), (-1,)) for a in arrays.values()])
        self._started.append(({name: tuple(a.shape) for name, a in arrays.items()}, self._sums.start(flat)))

    def _split(self, flat: Array, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
        xp, found, first = array_namespace(flat), {}, 0
        for name, shape in shapes.items():
            last = first + math.prod(shape)
            found[name] = xp.astype(xp.reshape(flat[first:last], shape), self._dtypes[name], copy=False)
            first = last
        return found


def _bytes(a: Array) -> int:
    """Tell how long an array is in a message."""
    return size(a) * array_namespace(a).finfo(sum_dtype(a)).bits // 8


def _watch(
    layer: Layer, owners: Mapping[str, tuple[Layer, str]], take: Callable[[Mapping[str, Array]], None],
    stack: ExitStack,
) -> None:
    """Let a layer, and those that it is made of, hand on their gradients as soon as it has gone backward.

    What is made of layers by a class that is not ours may do something to their gradients afterwards.
    """
    own = leaves_of(layer)
    ours = _is_ours(type(layer).backward) and _is_ours(type(layer).backward_params)
    inner = layer.layers.values() if isinstance(layer, Composite) and ours else ()
    names = {name: place for name, place in owners.items() if any(place[0] is leaf for leaf in own)}

    def hand_on(only: Layer | None = None) -> None:
        take({name: getattr(leaf, f"d{attribute}") for name, (leaf, attribute) in names.items()
              if only in (None, leaf)})

    def handing_on(method: Callable[[Array], Array]) -> Callable[[Array], Array]:
        def call(dout: Array) -> Array:
            dx = method(dout)
            hand_on()
            return dx

        return call

    if names:
        put: dict[str, Callable[..., Any]] = {
            name: handing_on(getattr(layer, name)) for name in ("backward", "backward_params")}
        if isinstance(layer, AffineChain):  # whose layers do not go backward by themselves
            put["has_gone_backward"] = hand_on
        for name, method in put.items():
            vars(layer)[name] = method
            stack.callback(vars(layer).pop, name)  # it holds the layer, which holds what was computed
    for part in inner:
        _watch(part, owners, take, stack)


def _is_ours(method: Callable[..., Any]) -> bool:
    return method.__module__.startswith("xpnet.")
