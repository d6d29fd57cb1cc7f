"""The array libraries and their modes that the tests run on."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from array_api_extra.testing import assert_close
from numpy.typing import NDArray

from xpnet import Backend, get_backend

Host = NDArray[Any]


@dataclass(frozen=True)
class Variant:
    """A library on a device, in a mode.

    Of ten planted device bugs NumPy alone finds none, array-api-strict on a device of its own
    eight, and that with PyTorch's `meta` device or `jax.jit` all ten.
    """

    id: str
    backend: Backend
    read_only: bool = False
    jit: bool = False
    values: bool = True
    """Whether arrays have values, not shape and device only."""

    @property
    def namespace(self) -> Any:
        return self.backend.namespace

    def asarray(self, x: Any, dtype: str | None = None) -> Any:
        """Make an array of its own memory."""
        host = np.array(x, dtype=dtype)
        if self.read_only:
            host.flags.writeable = False
        return self.backend.asarray(host)

    def run(self, f: Callable[..., Any], *inputs: Host) -> Any:
        """Call `f` on arrays like these, under `jax.jit` if so, and see that it changes none."""
        arrays = [self.asarray(x) for x in inputs]
        if self.jit:
            f = importlib.import_module("jax").jit(f)
        out = f(*arrays)
        for array, x in zip(arrays, inputs, strict=True):
            self.check(array, x, rtol=0)
        return out

    def check(
        self, actual: Any, expected: Any, *, dtype: str | None = None, rtol: float | None = None,
        atol: float = 0,
    ) -> None:
        """Compare library, dtype, shape, device and, where there are any, values."""
        __tracebackhide__ = True
        assert_close(actual, self.asarray(expected, dtype), rtol=rtol, atol=atol)

    def check_all(self, actual: Sequence[Any], expected: Sequence[Any], **kwargs: Any) -> None:
        """Compare arrays in pairs."""
        __tracebackhide__ = True
        for a, e in zip(actual, expected, strict=True):
            self.check(a, e, **kwargs)


VARIANTS: dict[str, tuple[str, str, dict[str, bool]]] = {
    # id: the backend's name, the module it needs, the mode
    "numpy": ("numpy", "numpy", {}),
    "numpy-readonly": ("numpy", "numpy", {"read_only": True}),
    "strict": ("strict:device1", "array_api_strict", {}),
    "torch": ("torch", "torch", {}),
    "torch-meta": ("torch:meta", "torch", {"values": False}),
    "jax": ("jax:cpu", "jax", {}),
    "jax-jit": ("jax:cpu", "jax", {"jit": True}),
    "cupy": ("cupy", "cupy", {}),
}


def installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def missing(variant: str) -> str | None:
    """Say why a variant cannot run here; None if it can."""
    module = VARIANTS[variant][1]
    if not installed(module):
        return f"{module} is not installed"
    if module == "cupy" and not importlib.import_module(module).is_available():
        return "no CUDA GPU here"
    return None


def make(variant: str) -> Variant:
    name, module, mode = VARIANTS[variant]
    if module == "array_api_strict":
        importlib.import_module(module).set_array_api_strict_flags(
            boolean_indexing=False, data_dependent_shapes=False
        )
    if module == "jax":
        importlib.import_module("jax").config.update("jax_enable_x64", True)
    return Variant(variant, get_backend(name), **mode)


def params(*ids: str) -> list[Any]:
    """Give the variants as parameters of a fixture or test; those not to be had are skipped."""
    out = []
    for variant in ids:
        reason = missing(variant)
        marks = [pytest.mark.skip(reason=reason)] if reason else []
        if VARIANTS[variant][1] == "cupy":
            marks.append(pytest.mark.cuda)
        out.append(pytest.param(variant, marks=marks, id=variant))
    return out
