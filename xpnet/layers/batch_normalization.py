"""The book's BatchNormalization layer (chapter 6.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from xpnet._numbers import not_negative, real_number
from xpnet.functional import (
    batch_normalization,
    batch_normalization_backward,
    batch_normalization_inference,
    batch_normalization_inference_backward,
)
from xpnet.functional._array import (
    Array,
    array_namespace,
    check_concrete,
    check_floating,
    device,
)
from xpnet.layers.layer import Layer
from xpnet.layers.stacks import broadcast_shape, own_ndim

__all__ = ["BatchNormalization"]


class BatchNormalization(Layer):
    """Normalises each of C channels: by the batch in training, by running averages at inference.

    The channels are the features of rows `(N, C)`, or those of images `(N, C, H, W)`, as in the paper
    and PyTorch. (The book normalises each element of an image by itself.)

    Parameters
    ----------
    gamma, beta : array
        The scale and the shift, `(C,)`, or a stack `(…, C)`.
    momentum : float
        How much of the running averages a batch leaves, as in the book: they become
        `momentum * running + (1 - momentum) * batch`. (PyTorch calls the rest momentum, and averages
        the unbiased variance; here it is the biased one.)
    running_mean, running_var : array, optional
        Where the averages begin, of the shape to which `gamma` and `beta` are broadcast; by default 0
        and 1.
    eps : float
        What is added to the variance.

    Attributes
    ----------
    dgamma, dbeta : array
        Gradients of the shapes of `gamma` and `beta`, set by `backward`.
    """

    param_ndims: ClassVar[Mapping[str, int]] = {"gamma": 1, "beta": 1}
    state_ndims: ClassVar[Mapping[str, int]] = {"running_mean": 1, "running_var": 1}
    has_train_flg: ClassVar[bool] = True

    def __init__(
        self,
        gamma: Array,
        beta: Array,
        momentum: float = 0.9,
        running_mean: Array | None = None,
        running_var: Array | None = None,
        *,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.momentum = real_number(self.name, "momentum", momentum)
        if not 0 <= self.momentum <= 1:
            raise ValueError(f"{self.name} wants momentum from 0 to 1; got {momentum}")
        self.eps = not_negative(self.name, "eps", eps)
        given = {name: a for name, a in (("gamma", gamma), ("beta", beta),
                 ("running_mean", running_mean), ("running_var", running_var)) if a is not None}
        xp = array_namespace(*given.values())
        check_concrete(self.name, *given.values(), remedy=None)
        check_floating(self.name, gamma)
        if any(a.dtype != gamma.dtype for a in given.values()):
            raise TypeError(f"{self.name} wants arrays of one dtype; got "
                            + ", ".join(f"{name} {a.dtype}" for name, a in given.items()))
        shapes = ", ".join(f"{name} {tuple(a.shape)}" for name, a in given.items())
        if any(a.ndim < 1 or a.shape[-1:] != gamma.shape[-1:] for a in given.values()):
            raise ValueError(f"{self.name} wants arrays of shape (…, C); got {shapes}")
        self.gamma, self.beta = gamma, beta
        shape = (*self.stack_shape(), gamma.shape[-1])
        zeros = xp.zeros(shape, dtype=gamma.dtype, device=device(gamma))
        self.running_mean = zeros if running_mean is None else running_mean
        self.running_var = zeros + 1 if running_var is None else running_var
        if any(tuple(a.shape) != shape for a in self.state.values()):
            raise ValueError(f"{self.name} wants running averages of shape {shape}; got {shapes}")
        self.dgamma: Array = None
        self.dbeta: Array = None
        self.x: Array = None
        self.mean: Array = None
        self.var: Array = None
        self.axis, self.train_flg = -1, True

    def forward(self, x: Array, train_flg: bool = True) -> Array:
        """Normalise, scale and shift; in training, hold other running averages afterwards.

        Parameters
        ----------
        x : array
            Rows `(N, C)` or images `(N, C, H, W)`. To a stack, these, for all of its networks; or with
            all of the stack's axes in front.
            (Where both fit, as for two stack axes, the second.)
        train_flg : bool
            Whether this is training. An empty batch changes no averages.

        Returns
        -------
        array
            Of the shape of `x`, with the stack's axes in front.
        """
        self.check_input(x)
        self.x, self.axis, self.train_flg = x, self._channel_axis(x), train_flg
        if train_flg:
            y, self.mean, self.var = self.fast(batch_normalization)(
                x, self.gamma, self.beta, axis=self.axis, eps=self.eps)
            if 0 not in x.shape:
                self.running_mean = self._averaged(self.running_mean, self.mean)
                self.running_var = self._averaged(self.running_var, self.var)
            return y
        xp = array_namespace(x)
        self.mean, self.var = (xp.astype(a, x.dtype, copy=False)
                               for a in (self.running_mean, self.running_var))
        return self.fast(batch_normalization_inference)(
            x, self.gamma, self.beta, self.mean, self.var, axis=self.axis, eps=self.eps)

    def backward(self, dout: Array) -> Array:
        """Set `dgamma` and `dbeta`, and give `dx`, for the last forward, in training or not.

        Parameters
        ----------
        dout : array
            Gradient with respect to the last output, of its shape.
        """
        if self.x is None:
            raise RuntimeError(f"{self.name}.backward wants a forward before it")
        backward = (batch_normalization_backward if self.train_flg
                    else batch_normalization_inference_backward)
        dx, self.dgamma, self.dbeta = self.fast(backward)(
            dout, self.x, self.gamma, self.beta, mean=self.mean, var=self.var,
            axis=self.axis, eps=self.eps)
        return dx

    def _averaged(self, running: Array, batch: Array) -> Array:
        """Move running averages towards a batch; a stack's are its networks', also of one batch."""
        xp = array_namespace(running, batch)
        batch = xp.astype(batch, running.dtype, copy=False)
        running, *_ = xp.broadcast_arrays(running, self.gamma, self.beta)
        return self.momentum * running + (1 - self.momentum) * batch

    def _channel_axis(self, x: Array) -> int:
        """Tell rows from images, and refuse what is neither."""
        stack, channels = self.stack_shape(), self.gamma.shape[-1]
        own = own_ndim(x.ndim, len(stack))
        if (own is None or x.shape[1 - own] != channels
                or broadcast_shape(x.shape[:x.ndim - own], stack) is None):
            in_words = ", ".join([*map(str, stack), ""])
            raise ValueError(f"{self.name} wants x of shape (N, {channels}) or (N, {channels}, H, W)"
                             + (f", or one with ({in_words}…) in front" if stack else "")
                             + f"; got {tuple(x.shape)}")
        return 1 - own
