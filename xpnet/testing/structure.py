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
from collections.abc import Callable, Iterator

from xpnet.functional._array import Array, array_namespace
from xpnet.gradient import numerical_gradient
from xpnet.stacked_gradient import stacked_numerical_gradient
from xpnet.testing._host import chunk_elements
from xpnet.testing.elements import check_against, check_elements, computes_stacks
from xpnet.testing.report import VariableReport
from xpnet.testing.sites import Site, scale_of, total
from xpnet.testing.subject import Stage

__all__ = ["check_structure"]

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
            notes.append(f"{name} was checked element by element: its layer has no tangents")
        elif not _same(stage.rest(stage.output), site.value):
            notes.append(f"{name} was checked element by element: the layers in a row give another loss "
                         "than the network")
        elif not _spans(stage, site.point[name], site.direction(name)):
            notes.append(f"{name} was checked element by element: the tangents of "
                         f"{type(stage.layer).__name__}.{stage.attribute} are not those of its forward")
        else:
            if id(stage.layer) not in of_layer:  # W and b share them
                of_layer[id(stage.layer)] = _output_gradient(site, stage)
            quotients = _pulled_back(stage, site.point[name], of_layer[id(stage.layer)])
            found.append(check_against(site, name, quotients, step=site.eps ** (1 / 3)))
            continue
        found.append(check_elements(site, name))
    return found, notes


def _same(a: Array, b: Array) -> bool:
    xp = array_namespace(a, b)
    near = 1024 * float(xp.finfo(b.dtype).eps) * float(xp.max(xp.abs(b)))
    return tuple(a.shape) == tuple(b.shape) and bool(xp.all(xp.abs(a - b) <= near))


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


def _chunks(stage: Stage, n: int) -> Iterator[tuple[int, int, Array]]:
    """Give the tangents of all n elements, a range at a time, as rows `(hi - lo, output.size)`."""
    xp = array_namespace(stage.output)
    columns = math.prod(stage.output.shape)
    count = max(1, TANGENTS // max(columns, 1))
    for lo in range(0, n, count):
        hi = min(lo + count, n)
        yield lo, hi, xp.reshape(stage.layer.tangents(stage.attribute, lo, hi), (hi - lo, columns))


def _pulled_back(
    stage: Stage, p: Array, differences: Callable[[float], Array]
) -> Callable[[float], Array]:
    xp = array_namespace(p)

    def quotients(step: float) -> Array:
        dy = xp.reshape(differences(step), (-1,))
        parts = [xp.matmul(rows, dy) for _, _, rows in _chunks(stage, math.prod(p.shape))]
        return xp.reshape(xp.concat(parts), p.shape)

    return quotients


def _spans(stage: Stage, p: Array, v: Array) -> bool:
    """Tell whether the output is linear in the parameter, with these tangents."""
    xp = array_namespace(p)
    flat = xp.reshape(v, (-1,))
    combination = 0 * xp.reshape(stage.output, (-1,))
    for lo, hi, rows in _chunks(stage, math.prod(p.shape)):
        combination = combination + xp.matmul(flat[lo:hi], rows)
    moved = stage.layer.bind({stage.attribute: p + v}).forward(stage.x)
    return _same(moved, stage.output + xp.reshape(combination, stage.output.shape))
