"""From what `check_gradients` is given to a subject."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xpnet.functional._array import Array
from xpnet.testing.functions import FunctionSubject
from xpnet.testing.inputs import check_array, check_inputs, check_library, name_of, named_inputs
from xpnet.testing.objects import LayerSubject, NetworkSubject
from xpnet.testing.sites import copied
from xpnet.testing.subject import Subject

__all__ = ["make_subject"]


def make_subject(
    subject: Any,
    inputs: Sequence[Array],
    backward: Callable[..., Any] | None,
    gradient: Any,
    elsewhere: Callable[[Array], Array],
) -> Subject:
    """Bring what `check_gradients` was given to one form.

    `elsewhere` makes another array of an input.

    Raises
    ------
    TypeError, ValueError
        If it is none of the known forms, or cannot be checked at these inputs.
    """
    is_network = callable(getattr(subject, "loss", None)) and hasattr(subject, "gradient")
    is_layer = hasattr(subject, "forward") and hasattr(subject, "backward")
    if isinstance(subject, type):
        raise TypeError(f"check_gradients wants a layer, not its class; got {subject.__name__}: make one")
    if backward is not None and gradient is not None:
        raise TypeError("check_gradients takes backward= or gradient=, not both")
    if backward is not None and not callable(backward):
        raise TypeError(f"backward= is to be a function of dout and the inputs; got {backward!r}")
    alone = backward is None and gradient is None
    f = subject.loss if is_network and backward is None else subject.forward if is_layer and alone else subject
    _check(named_inputs(f, inputs))
    inputs = [copied(x) for x in inputs]
    others = [elsewhere(inputs[0]), *map(copied, inputs[1:])]
    made: Subject
    if is_network and backward is None:
        made = NetworkSubject(subject, inputs, others, gradient)
    elif is_layer and alone:
        made = LayerSubject(subject, inputs, others)
    elif callable(subject) and not alone:
        made = FunctionSubject(subject, inputs, backward, gradient)
    else:
        raise TypeError("check_gradients wants a layer with forward and backward, a network with loss "
                        "and gradient, or a function with its backward= or gradient=; got "
                        f"{name_of(subject)}" + (" alone" if callable(subject) else ""))
    _check(made.point)
    return made


def _check(arrays: Mapping[str, Array]) -> None:
    check_inputs(arrays)
    for name, x in arrays.items():
        check_array(name, x)
    check_library(arrays)
