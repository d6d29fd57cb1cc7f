"""Batch normalisation by the statistics of the whole batch, of which each rank has a part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from xpnet.functional import batch_normalization_inference, batch_normalization_inference_backward
from xpnet.functional._array import Array, array_namespace, in_sum_dtype, sum_dtype
from xpnet.functional.batch_normalization import channel_count, channel_moments

__all__ = ["synchronized"]


def synchronized(add: Callable[[Array], Array], share: float) -> Mapping[str, Callable[..., Any]]:
    """Give stand-ins for batch normalisation and its backward, as `Layer.with_kernels` takes them.

    As Keras's `BatchNormalization(synchronized=True)` and PyTorch's `SyncBatchNorm`.

    Parameters
    ----------
    add : callable
        Adds up an array over all ranks.
    share : float
        What part of the batch's rows is here.
    """

    def statistics(x: Array, axis: int) -> tuple[Array, Array]:
        own_mean, own_var = channel_moments(x, axis)
        mean = add(share * own_mean)
        return mean, add(share * (own_var + (own_mean - mean) ** 2))  # no difference of large squares

    def forward(x: Array, gamma: Array, beta: Array, **given: Any) -> tuple[Array, Array, Array]:
        mean, var = statistics(x, given["axis"])
        return batch_normalization_inference(x, gamma, beta, mean, var, **given), mean, var

    def backward(
        dout: Array, x: Array, gamma: Array, beta: Array, mean: Array | None, var: Array | None, **given: Any
    ) -> tuple[Array, Array, Array]:
        if mean is None or var is None:
            mean, var = statistics(x, given["axis"])
        inputs = x, gamma, beta, mean, var
        _, dgamma, dbeta = batch_normalization_inference_backward(dout, *inputs, **given)
        # Both are affine in x and in dout: what flows through the statistics has the same form.
        both = add(array_namespace(dgamma).stack([dgamma, dbeta])) * (share / channel_count(x, given["axis"]))
        through = batch_normalization_inference(x, both[0, ...], both[1, ...], mean, var, **given)
        dx, _, _ = batch_normalization_inference_backward(dout - through, *inputs, **given)
        return dx, dgamma, dbeta

    def batch_normalization(
        x: Array, gamma: Array, beta: Array, *, axis: int = -1, eps: float = 1e-5
    ) -> tuple[Array, Array, Array]:
        """Stand in for `xpnet.functional.batch_normalization`."""
        y, mean, var = in_sum_dtype(forward, x, gamma, beta, axis=axis, eps=eps)
        return y, mean, var

    def batch_normalization_backward(
        dout: Array, x: Array, gamma: Array, beta: Array, *, axis: int = -1, eps: float = 1e-5,
        mean: Array | None = None, var: Array | None = None,
    ) -> tuple[Array, Array, Array]:
        """Stand in for `xpnet.functional.batch_normalization_backward`.

        The gradients of `gamma` and `beta` are those by the rows here: the ranks' add up to the batch's.
        """
        if sum_dtype(x) != x.dtype:  # the statistics of 16 bits may have overflowed
            mean = var = None
        dx, dgamma, dbeta = in_sum_dtype(
            backward, dout, x, gamma, beta, mean=mean, var=var, axis=axis, eps=eps)
        return dx, dgamma, dbeta

    kernels: dict[str, Callable[..., Any]] = {
        "batch_normalization": batch_normalization,
        "batch_normalization_backward": batch_normalization_backward,
    }
    return kernels | {f"stacked_{name}": kernel for name, kernel in kernels.items()}
