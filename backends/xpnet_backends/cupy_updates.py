"""Stand-ins for `xpnet.optimizers.Optimizer.moves`: one kernel of CUDA for all parameters.

To start a kernel takes longer than to update a small network.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cupy

from xpnet_backends.cupy_cublaslt import DTYPES
from xpnet_backends.cupy_places import replacement_of

__all__ = ["RULES"]

MANY = 8
"""Parameters of one kernel, whose arguments may take 4 KiB in all."""


class Rule(NamedTuple):
    """The direction `d` of a step, in CUDA's C++, and what is to be remembered, `v0` and `v1`.

    They are made of the gradient `g`, what was remembered, `u0` and `u1`, the optimiser's numbers, and what
    `Optimizer.numbers` gave.
    """

    constants: str
    """What to read from the optimiser; `1 - beta` is computed before it is rounded."""
    text: str


RULES_IN_CUDA = {
    "sgd": Rule("", "d = g;"),
    "momentum": Rule("momentum", "v0 = momentum * u0 + g; d = v0;"),
    "nesterov": Rule("momentum", "v0 = momentum * u0 + g; d = g + momentum * v0;"),
    "adagrad": Rule("eps", "v0 = u0 + g * g; d = g / (sqrt(v0) + eps);"),
    "rmsprop": Rule("decay_rate rest_decay_rate eps",
                    "v0 = decay_rate * u0 + rest_decay_rate * (g * g); d = g / (sqrt(v0) + eps);"),
    "adam": Rule("beta1 rest_beta1 beta2 rest_beta2",
                 "v0 = beta1 * u0 + rest_beta1 * g; v1 = beta2 * u1 + rest_beta2 * (g * g); "
                 "d = v0 / (scale * sqrt(v1) + eps);"),
}


def moves(
    optimizer: Any, params: Sequence[Any], grads: Sequence[Any], memories: Sequence[Sequence[Any]],
    rates: Sequence[Any], numbers: Mapping[str, Any],
) -> list[tuple[Any, ...]]:
    """Stand in for `xpnet.optimizers.Optimizer.moves`."""
    on_device = (rates[0], *numbers.values()) if hasattr(rates[0], "dtype") else numbers.values()
    dtype = params[0].dtype
    if (dtype not in DTYPES or any(p.dtype != dtype for p in params)
            or any(a.ndim or a.dtype != dtype for a in on_device)):
        return optimizer.moves(params, grads, memories, rates, numbers)
    found: list[tuple[Any, ...]] = []
    for k in range(0, len(params), MANY):
        part = slice(k, k + MANY)
        found += _moved(optimizer, params[part], grads[part], memories[part], rates[0], numbers)
    return found


def _moved(
    optimizer: Any, params: Sequence[Any], grads: Sequence[Any], memories: Sequence[Sequence[Any]],
    lr: Any, numbers: Mapping[str, Any],
) -> list[tuple[Any, ...]]:
    constants = {name: _constant(optimizer, name)
                 for name in RULES_IN_CUDA[optimizer.rule].constants.split()}
    on_device = dict(numbers)
    (on_device if hasattr(lr, "ndim") else constants)["lr"] = lr
    decay = "" if not optimizer.weight_decay else "decoupled" if optimizer.decoupled else "l2"
    if decay:
        constants["decay"] = optimizer.weight_decay
    kernel = _kernel(optimizer.rule, len(params), len(memories[0]), decay, *map(tuple, (constants, on_device)))
    given, results = [], []
    for p, g, memory in zip(params, grads, memories, strict=True):
        given += [p.size, *map(_flat, (p, g, *memory))]
        results.append(tuple(map(replacement_of, (p, *memory))))
    kernel(*given, *constants.values(), *on_device.values(), *(a.reshape(-1) for each in results for a in each),
           size=sum(p.size for p in params))
    return results


def _constant(optimizer: Any, name: str) -> float:
    rest = name.removeprefix("rest_")
    value: float = getattr(optimizer, rest)
    return value if rest == name else 1 - value


def _flat(a: Any) -> Any:
    return cupy.ascontiguousarray(a).reshape(-1)


@functools.cache
def _kernel(rule: str, count: int, remembered: int, decay: str, constants: tuple[str, ...],
            on_device: tuple[str, ...]) -> Any:
    """Write the kernel for so many parameters, of each of which so much is remembered."""
    numbers = range(remembered)
    inputs, outputs, blocks = [], [], []
    for k in range(count):
        inputs += [f"int64 n_{k}", f"raw T p_{k}", f"raw T g_{k}", *(f"raw T u{m}_{k}" for m in numbers)]
        outputs += [f"raw T q_{k}", *(f"raw T w{m}_{k}" for m in numbers)]
        blocks.append("\n".join([
            f"if (k >= 0 && k < n_{k}) {{",
            f"const T p = p_{k}[k]; T g = g_{k}[k]; T d;",
            *(f"const T u{m} = u{m}_{k}[k]; T v{m};" for m in numbers),
            "g += decay * p;" if decay == "l2" else "",
            RULES_IN_CUDA[rule].text,
            "d += decay * p;" if decay == "decoupled" else "",
            f"q_{k}[k] = p - lr * d;",
            *(f"w{m}_{k}[k] = v{m};" for m in numbers),
            "}", f"k -= n_{k};",
        ]))
    inputs += [f"T {name}" for name in constants] + [f"raw T {name}_" for name in on_device]
    first = [f"const T {name} = {name}_[0];" for name in on_device]
    return cupy.ElementwiseKernel(", ".join(inputs), ", ".join(outputs),
                                  "\n".join([*first, "ptrdiff_t k = i;", *blocks]), f"xpnet_{rule}")


RULES = dict.fromkeys(RULES_IN_CUDA, moves)
