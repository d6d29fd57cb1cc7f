"""Gradients from PyTorch's autograd in float64, to hold ours against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray


def gradients(
    f: Callable[..., Any], dout: NDArray[Any] | float, inputs: Sequence[NDArray[Any]]
) -> list[NDArray[Any]]:
    """Give the gradient of `sum(f(*inputs) * dout)` with respect to each input.

    `f` is written in PyTorch and takes the module `torch` first.
    """
    torch = pytest.importorskip("torch")
    tensors = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in inputs]
    out = f(torch, *tensors)
    (out * torch.as_tensor(np.asarray(dout))).sum().backward()
    return [tensor.grad.numpy() for tensor in tensors]
