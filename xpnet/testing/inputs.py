"""Names for arrays, and words for those that cannot be checked."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import array_api_compat

from xpnet.functional._array import Array, array_namespace, check_concrete, device

__all__ = [
    "check_array", "check_gradient", "check_inputs", "check_library", "describe", "is_floating",
    "name_of", "named_inputs", "one_array", "takes_argument", "type_name",
]


def check_inputs(inputs: Mapping[str, Any]) -> None:
    """Refuse inputs that are no arrays (TypeError)."""
    if not inputs:
        raise TypeError("check_gradients wants, after what is checked, the inputs to check it at")
    for name, x in inputs.items():
        if not array_api_compat.is_array_api_obj(x):
            raise TypeError(f"check_gradients wants arrays; {name} is {type_name(x)}. "
                            "What is no array belongs into a closure: lambda x: f(x, axis=1)")


def check_array(name: str, x: Array) -> None:
    """Refuse an array that differences cannot be taken at: traced, too coarse, not finite."""
    check_concrete(f"check_gradients: {name}", x, remedy="call it outside of jit")
    xp = array_namespace(x)
    if xp.isdtype(x.dtype, ("bool", "integral")):
        return
    if not is_floating(x):
        raise TypeError(f"check_gradients knows real numbers alone; {name} is {x.dtype}")
    if xp.finfo(x.dtype).bits < 32:
        raise TypeError(f"check_gradients wants float32 or float64; {name} is {x.dtype}, whose "
                        "rounding leaves no digits to check by: cast it")
    if str(device(x)) == "meta":
        raise TypeError(f"check_gradients wants values; {name} is on the device meta, without any")
    if not bool(xp.all(xp.isfinite(x))):
        raise ValueError(f"check_gradients wants finite inputs; {name} holds NaN or infinity")


def check_library(arrays: Mapping[str, Array]) -> None:
    """Refuse arrays of several libraries or devices."""
    places: dict[Any, str] = {}
    for name, x in arrays.items():
        places.setdefault((array_namespace(x).__name__, str(device(x))), name)
    if len(places) > 1:
        a, b, *_ = places.values()
        raise TypeError("check_gradients wants arrays of one library, on one device; "
                        f"{a} is {type_name(arrays[a])} on {device(arrays[a])}, "
                        f"{b} is {type_name(arrays[b])} on {device(arrays[b])}")


def check_gradient(subject: str, name: str, x: Array, gradient: Any) -> None:
    """Refuse what cannot be the gradient of `x`."""
    if gradient is None:
        raise ValueError(f"the backward of {subject} gives no gradient for {name}")
    if not array_api_compat.is_array_api_obj(gradient):
        raise TypeError(f"the backward of {subject} is to give an array for {name}; got "
                        f"{type_name(gradient)}")
    found, wanted = tuple(gradient.shape), tuple(x.shape)
    if found != wanted:
        summed = len(found) > len(wanted) and found[len(found) - len(wanted):] == wanted
        raise ValueError(f"the backward of {subject} gives a gradient of shape {found} for {name} of "
                         f"shape {wanted}" + (": is a sum over the batch missing?" if summed else ""))
    if array_namespace(gradient) is not array_namespace(x) or device(gradient) != device(x):
        raise TypeError(f"the backward of {subject} gives {type_name(gradient)} on {device(gradient)} "
                        f"for {name}, {type_name(x)} on {device(x)}")
    if not is_floating(gradient):
        raise TypeError(f"the backward of {subject} gives a gradient of {gradient.dtype} for {name}")


def one_array(subject: str, value: Any, inputs: Mapping[str, Array]) -> Array:
    """Take what a function returned for an array, a Python number for a 0-dimensional one."""
    reference = next(iter(inputs.values()))
    xp = array_namespace(reference)
    if isinstance(value, float | int) and not hasattr(value, "shape"):
        return xp.asarray(value, dtype=xp.float64, device=device(reference))
    if not array_api_compat.is_array_api_obj(value):
        raise TypeError(f"{subject} is to return one array; got {type(value).__name__}")
    if array_namespace(value) is not xp or device(value) != device(reference):
        raise TypeError(f"{subject} is to return {type_name(reference)} on {device(reference)}, as its "
                        f"inputs are; got {type_name(value)} on {device(value)}")
    check_concrete(f"check_gradients: what {subject} returns", value, remedy=None)
    if not is_floating(value):
        raise TypeError(f"{subject} is to return a real floating array; got {value.dtype} from "
                        f"{describe(inputs)}")
    if xp.finfo(value.dtype).bits < 32:
        raise TypeError(f"{subject} returns {value.dtype}, whose rounding leaves no digits to check by")
    return value


def is_floating(x: Array) -> bool:
    """Tell whether the dtype is real floating."""
    return bool(array_namespace(x).isdtype(x.dtype, "real floating"))


def describe(arrays: Mapping[str, Array]) -> str:
    """Give names, shapes and dtypes."""
    return ", ".join(f"{name} {tuple(x.shape)} {x.dtype}" for name, x in arrays.items())


def name_of(thing: Any) -> str:
    """Give the name of a function or class, or that of an object's class."""
    return getattr(thing, "__name__", None) or type(thing).__name__


def type_name(x: Any) -> str:
    """Give the full name of an array's type."""
    return f"{type(x).__module__}.{type(x).__qualname__}"


def named_inputs(f: Callable[..., Any], inputs: Sequence[Array]) -> dict[str, Array]:
    """Name inputs as a function does its arguments, as far as it tells."""
    names = [p.name for p in _positional(f) if p.kind is not inspect.Parameter.VAR_POSITIONAL]
    names += [f"input{k}" for k in range(len(names), len(inputs))]
    return dict(zip(names, inputs, strict=False))


def takes_argument(f: Callable[..., Any]) -> bool:
    """Tell whether a function takes a positional argument."""
    try:
        inspect.signature(f)
    except (TypeError, ValueError):  # it does not tell
        return True
    return bool(_positional(f))


def _positional(f: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        return []
    return [p for p in parameters
            if p.kind not in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)]
