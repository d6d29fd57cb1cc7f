"""The operators of `cupy.ndarray`, and its methods that are functions of the same names.

Operators are array-api-strict's, so that the compute path is held to the standard: floating and integer
arrays, which CuPy promotes, are refused. float16, which array-api-strict has not, is NumPy's.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from benchmarks.cuda_on_cpu.array import lower_to_numpy, ndarray, on_numpy, refuse_products, wrap
from benchmarks.cuda_on_cpu.execution import call
from benchmarks.cuda_on_cpu.strict import is_float16, operand

__all__ = ["add_operators"]

BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_", "xor",
          "lshift", "rshift")
COMPARING = ("eq", "ne", "lt", "le", "gt", "ge")
UNARY = ("neg", "pos", "abs", "invert")
METHODS = ("sum", "prod", "mean", "std", "var", "max", "min", "any", "all", "argmax", "argmin", "cumsum",
           "cumprod", "clip", "round", "squeeze", "swapaxes", "ravel", "repeat", "take", "diagonal", "trace",
           "conj", "argsort")


def add_operators() -> None:
    """Give them to the class."""
    for name in BINARY:
        bare = name.rstrip("_")
        setattr(ndarray, f"__{bare}__", lambda x, y, name=name: _operate(name, x, y))
        setattr(ndarray, f"__r{bare}__", lambda x, y, name=name: _operate(name, y, x))
        if name != "matmul":  # CuPy has no __imatmul__
            setattr(ndarray, f"__i{bare}__", lambda x, y, name=f"i{bare}": _operate(name, x, y, writes=[x]))
    for name in COMPARING:
        setattr(ndarray, f"__{name}__", lambda x, y, name=name: _operate(name, x, y))
    for name in UNARY:
        setattr(ndarray, f"__{name}__", lambda x, name=name: _operate(name, x))
    for name in METHODS:
        f = getattr(np, name)
        setattr(ndarray, name, lambda self, *args, f=f, **kwargs: on_numpy(f, self, *args, **kwargs))
    for name, method in (("flatten", _flatten), ("dot", _dot)):
        setattr(ndarray, name, method)


def _operate(name: str, *operands: Any, writes: Any = ()) -> Any:
    for a in operands:
        if isinstance(a, np.ndarray):
            raise TypeError(f"Unsupported type {type(a)}")
        if not isinstance(a, ndarray | np.generic | bool | int | float | complex):
            return NotImplemented
    if name == "matmul":
        refuse_products()
    lower = lower_to_numpy if any(map(is_float16, operands)) else operand
    return call(getattr(operator, name), operands, {}, name=name, lower=lower, wrap=wrap, writes=writes)


def _flatten(self: ndarray, order: Any = "C") -> Any:
    return on_numpy(lambda a: a.flatten(order), self, _name="flatten")


def _dot(self: ndarray, b: ndarray) -> Any:
    refuse_products()
    return on_numpy(np.dot, self, b)
