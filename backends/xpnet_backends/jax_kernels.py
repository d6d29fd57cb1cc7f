"""XLA's own convolution in the place of that of `xpnet.functional`.

Its pooling is slower, on a processor, than what it makes of `max_pooling` and `max_pooling_backward`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from xpnet.functional.convolution import check_convolution
from xpnet.functional.windows import Pair, Windows

__all__ = ["KERNELS"]


def convolution(x: Any, W: Any, b: Any, *, stride: Pair = 1, pad: Pair = 0) -> Any:
    """Stand in for `xpnet.functional.convolution`."""
    windows = check_convolution("convolution", x, W, b, stride, pad)
    return _correlate(x, W, windows) + b[:, None, None]


def convolution_backward(
    dout: Any, x: Any, W: Any, b: Any, *, stride: Pair = 1, pad: Pair = 0, with_dx: bool = True
) -> tuple[Any, Any, Any]:
    """Stand in for `xpnet.functional.convolution_backward`: what is linear is transposed."""
    windows = check_convolution("convolution_backward", x, W, b, stride, pad, dout)
    dx = None
    if with_dx:
        (dx,) = jax.linear_transpose(lambda x: _correlate(x, W, windows), x)(dout)
    (dW,) = jax.linear_transpose(lambda W: _correlate(x, W, windows), W)(dout)
    return dx, dW, jnp.sum(dout, axis=(0, 2, 3))


def _correlate(x: Any, W: Any, windows: Windows) -> Any:
    return lax.conv_general_dilated(x, W, windows.stride, [(p, p) for p in windows.pad])


KERNELS: Mapping[str, Callable[..., Any]] = {
    "convolution": convolution, "convolution_backward": convolution_backward,
}
