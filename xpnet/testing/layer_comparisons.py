"""One run of a layer held against another, and what a run with fewer rows gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xpnet.testing import _host as libraries
from xpnet.testing.layer_runs import LayerAtWork, Map, Point, Run, itself
from xpnet.testing.layer_wants import CheckError, kind, want_kind, want_near

__all__ = ["same_run", "want_rows", "want_run"]


def same_run(
    subject: LayerAtWork,
    change: Map,
    of_dout: Map = itself,
    of_others: Map | None = None,
    transform: Callable[[Any], Any] = lambda run: run,
    values: bool = True,
) -> None:
    """Want from arrays that are changed by a function what the layer gives for its own."""
    point = subject.point(change)
    run = transform(lambda point: subject.run(point, of_dout, of_others or change))(point)
    want_run(subject.run(subject.point()), run, point, values)


def want_run(wanted: Run, run: Run, point: Point, values: bool = True) -> None:
    """Want what another run gave, on the library and device of this point."""
    like, found = kind(point.like()), run.named()
    for what, x in wanted.named().items():
        as_here = kind(x)._replace(library=like.library, device=like.device)
        want_kind(what, as_here, found.get(what))
        if values:  # PyTorch's meta device has none
            want_near(what, x, found[what])


def want_rows(subject: LayerAtWork, rows: int, run: Run) -> None:
    """Want finite results, of the shapes that belong to so many rows."""
    inputs, output = subject.point(rows=slice(rows)), subject.run(subject.point()).output
    shape = tuple(output.shape)
    if shape[:1] == (subject.inputs[0].shape[0],):  # not so for a loss
        shape = (rows, *shape[1:])
    shapes = {f"the gradient of {name}": tuple(x.shape) for name, x in inputs.named().items()}
    for what, x in run.named().items():
        if tuple(x.shape) != (wanted := shapes.get(what, shape)):
            raise CheckError(f"wants {what} of shape {wanted}; got {tuple(x.shape)}")
        if not libraries.all_finite(x):
            raise CheckError(f"wants {what} finite; got NaN or infinity")
