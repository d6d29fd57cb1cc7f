"""Every element of a parameter, through the structure of the network.

Where a layer's output is linear in a parameter, the gradient of the parameter's elements follows from
that of the output, which has far fewer: 180 numbers in the book's check, instead of 39,760. The loss
is differenced with respect to the output, and the result pulled back through the layer's tangents: the
derivatives of its output with respect to the parameter's elements. These are not taken on trust:
`forward(W + V) - forward(W)` for random V must be their combination, which covers every element.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

from xpnet.functional._array import Array, array_namespace
from xpnet.gradient import numerical_gradient
from xpnet.stacked_gradient import chunk_elements, stacked_numerical_gradient
from xpnet.testing.elements import check_against, check_elements, computes_stacks
from xpnet.testing.precision import same
from xpnet.testing.report import VariableReport
from xpnet.testing.sites import Site, scale_of, total
from xpnet.testing.subject import Stage

__all__ = ["check_structure"]

ROUNDINGS = 1024
"""By how many of the largest element's, what should be the same may differ."""
TANGENTS = 2**17
"""Numbers of tangents computed at a time, 1 MiB of float64: they stay in a processor's cache."""


def check_structure(site: Site, names: list[str]) -> tuple[list[VariableReport], list[str]]:
    """Check every element of gradients, through tangents where the layers have them.

    Returns
    -------
    found : list of VariableReport
    notes : list of str
        Which were checked element by element instead, and why.
    """
    stages = site.subject.stages(site.point)
    found: list[VariableReport] = []
    notes: list[str] = []
    of_layer: dict[int, Callable[[float], Array]] = {}
    for name in names:
        stage = stages.get(name)
        if stage is None:
            reason = "several layers share it" if name in stages else "its layer has no tangents"
        elif not same(stage.rest(stage.output), site.value, ROUNDINGS):
            reason = "the layers in a row give another loss than the network"
        else:
            if id(stage.layer) not in of_layer:  # W and b share them
                of_layer[id(stage.layer)] = _output_gradient(site, stage)
            quotients = _pulled_back(stage, site, name, of_layer[id(stage.layer)])
            if quotients is not None:
                found.append(check_against(site, name, quotients, step=site.eps ** (1 / 3)))
                continue
            reason = (f"the tangents of {type(stage.layer).__name__}.{stage.attribute} are not those of "
                      "its forward")
        notes.append(f"{name} was checked element by element: {reason}")
        found.append(check_elements(site, name))
    return found, notes


def _output_gradient(site: Site, stage: Stage) -> Callable[[float], Array]:
    """Make the function that differences the value with respect to a layer's output."""
    output = stage.output
    xp = array_namespace(output)
    if stage.is_last:
        return lambda step: site.dout
    scale = scale_of(output)

    def change(y: Array) -> float:
        return total(site.dout * (stage.rest(y) - site.value))

    stacks = computes_stacks(stage.stacked_rest, stage.rest, output, site.value)

    @functools.cache
    def differences(step: float) -> Array:
        if stacks:
            return stacked_numerical_gradient(
                lambda ys: site.dout * (stage.stacked_rest(ys) - site.value), output, step * scale,
                copies=chunk_elements(output) // math.prod(output.shape),
            )
        return numerical_gradient(change, xp.asarray(output, copy=True), step * scale)

    return differences


def _pulled_back(
    stage: Stage, site: Site, name: str, differences: Callable[[float], Array]
) -> Callable[[float], Array] | None:
    """Make the function that differences the value with respect to the parameter, by its tangents.

    None if the output, changed at random in the parameter, does not change as they say.
    """
    p, v = site.point[name], site.direction(name)
    xp = array_namespace(p)

    def pull_back(step: float) -> tuple[Array, Array]:
        """Give the quotients, and the change of the output that belongs to v."""
        dy, direction = xp.reshape(differences(step), (-1,)), xp.reshape(v, (-1,))
        change, parts = xp.zeros_like(dy), []
        n, columns = direction.shape[0], dy.shape[0]
        count = max(1, TANGENTS // max(columns, 1))
        for lo in range(0, n, count):
            hi = min(lo + count, n)
            rows = xp.reshape(stage.layer.tangents(stage.attribute, lo, hi), (hi - lo, columns))
            parts.append(xp.matmul(rows, dy))
            change = change + xp.matmul(direction[lo:hi], rows)
        return xp.reshape(xp.concat(parts), p.shape), xp.reshape(change, stage.output.shape)

    first_step = site.eps ** (1 / 3)
    first, change = pull_back(first_step)
    moved = stage.layer.bind({stage.attribute: p + v}).forward(stage.x)
    if not same(moved, stage.output + change, ROUNDINGS):
        return None
    return lambda step: first if step == first_step else pull_back(step)[0]
