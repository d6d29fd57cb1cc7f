"""A layer's backward beside a library's own differentiation of its forward."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from xpnet.functional._array import Array, array_namespace
from xpnet.testing._host import Draws
from xpnet.testing.inputs import is_floating
from xpnet.testing.layer_runs import LayerAtWork, Map, Point, dout_for
from xpnet.testing.layer_wants import CheckError, CheckSkipped
from xpnet.testing.rounding import check_rounding
from xpnet.testing.sites import beside, scale_of

__all__ = ["want_gradients_of"]

Forward = Callable[[list[Array], Array], Array]


def want_gradients_of(
    library: str,
    subject: LayerAtWork,
    to_library: Map,
    layer_of: Callable[[Forward, list[Array]], Any],
    compiled: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda f: f,
) -> None:
    """Want from a layer the gradients that a library finds of the same forward, to rounding.

    Both are computed in float64, where the library's are right to fifteen digits; differences are to
    eight.

    Parameters
    ----------
    library : str
        Its name.
    subject : LayerAtWork
        The layer.
    to_library : callable
        Makes an array of the library's of another one.
    layer_of : callable
        Takes `forward(arrays, x)` and the arrays; gives a layer whose backward is the library's own, with
        these as parameters, in their order.
    compiled : callable
        Makes a function of nested dictionaries faster, if the library can.
    """
    def wide(x: Array) -> Array:
        x = to_library(x)
        xp = array_namespace(x)
        return xp.astype(x, xp.float64) if is_floating(x) else x

    given = subject.point(wide)
    every = given.named()
    first, *others = every
    names = [name for name in others if is_floating(every[name])]
    held = {name: every[name] for name in (first, *names)}  # the rest are labels

    def point_of(arrays: Mapping[str, Array]) -> Point:
        here = {**every, **arrays}
        return Point([here[name] for name in (first, *others)[:len(given.inputs)]],
                     {name: here[name] for name in given.params})

    def forward(arrays: list[Array], x: Array) -> Array:
        point = point_of({first: x, **dict(zip(names, arrays, strict=True))})
        with subject.holding(point, wide) as layer:
            return layer.forward()

    def pair(arrays: Mapping[str, Array]) -> tuple[dict[str, Any], dict[str, Any]]:
        params = [arrays[name] for name in names]
        layer = layer_of(forward, params)
        layer = layer.bind(dict(zip(layer.params, params, strict=True)))
        dx = layer.backward(dout_for(layer.forward(arrays[first])))
        librarys = {first: dx, **dict(zip(names, layer.grads.values(), strict=True))}
        own = {name: g for name, g in subject.run(point_of(arrays), of_others=wide).gradients.items()
               if g is not None and is_floating(every[name])}
        return own, {name: librarys[name] for name in own}

    both = compiled(pair)
    try:
        own, _ = both(held)
    except Exception as error:  # noqa: BLE001  a layer may raise anything
        text = str(error).strip().partition("\n")[0]
        raise CheckSkipped(f"{library} cannot differentiate it: {type(error).__name__}: {text}") from None
    if not own:
        raise CheckSkipped("its backward gives no gradient")
    for name, g in own.items():
        if (wanted := tuple(held[name].shape)) != (found := tuple(g.shape)):
            raise CheckError(f"wants the gradient of {name} of shape {wanted}; got {found}")
    draws = Draws(0)
    eps = float(array_namespace(*held.values()).finfo(next(iter(own.values())).dtype).eps)

    def moved(change: Map) -> Mapping[str, Array]:
        return {name: change(x) if is_floating(x) else x for name, x in held.items()}

    def shrunk() -> list[Mapping[str, Array]]:
        largest = max(scale_of(x) for x in held.values() if is_floating(x))
        powers = range(1, max(3, math.ceil(math.log(largest, 8)) + 1))
        return [moved(lambda x, k=k: x * 8.0**-k) for k in powers]  # type: ignore[misc]

    reports = check_rounding(both, held, list(own), eps, effect=lambda name: 0.0, shrunk=shrunk,
                             rounded=lambda: [moved(lambda x: x + eps * x * draws.direction(x)) for _ in range(3)],
                             beside=lambda: [moved(lambda x: beside(x, draws, absolute=False))])
    kinks = [report.name for report in reports if report.verdict == "kink"]
    wrong = [f"{report.name} is off by {report.worst.error:.1e}" for report in reports if report.verdict == "wrong"]
    if wrong:
        raise CheckError(f"wants the gradients that {library} finds of the forward; {', '.join(wrong)}")
    if kinks:
        raise CheckSkipped(f"{', '.join(kinks)} lies on a kink, where there are several gradients")
