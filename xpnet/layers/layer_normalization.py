"""Layer normalisation as a layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from xpnet._numbers import not_negative
from xpnet.functional import layer_normalization, layer_normalization_backward
from xpnet.functional._array import Array, array_namespace, check_concrete, check_floating
from xpnet.layers.layer import Layer
from xpnet.layers.stacks import broadcast_shape

__all__ = ["LayerNormalization"]


class LayerNormalization(Layer):
    """Normalises along the last axis, each row by itself, in training and at inference alike.

    Parameters
    ----------
    gamma, beta : array
        The scale and the shift, `(D,)`, or a stack `(…, D)`.
    eps : float
        What is added to the variance.

    Attributes
    ----------
    dgamma, dbeta : array
        Gradients of the shapes of `gamma` and `beta`, set by `backward`.
    """

    param_ndims: ClassVar[Mapping[str, int]] = {"gamma": 1, "beta": 1}

    def __init__(self, gamma: Array, beta: Array, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = not_negative(self.name, "eps", eps)
        array_namespace(gamma, beta)
        check_concrete(self.name, gamma, beta, remedy=None)
        check_floating(self.name, gamma)
        if gamma.dtype != beta.dtype:
            raise TypeError(f"{self.name} wants gamma and beta of one dtype; "
                            f"got {gamma.dtype} and {beta.dtype}")
        if gamma.ndim < 1 or beta.ndim < 1 or gamma.shape[-1] != beta.shape[-1]:
            raise ValueError(f"{self.name} wants gamma and beta of shape (…, D); "
                             f"got {tuple(gamma.shape)} and {tuple(beta.shape)}")
        self.gamma, self.beta = gamma, beta
        self.stack_shape()
        self.dgamma: Array = None
        self.dbeta: Array = None
        self.x: Array = None
        self.mean: Array = None
        self.var: Array = None
        self._y_shape: tuple[int, ...] = ()

    def forward(self, x: Array) -> Array:
        """Normalise each row, scale and shift its features.

        Parameters
        ----------
        x : array
            `(N, …, D)`. To a stack, `(N, D)`; or, with all of the stack's axes in front,
            `(…, N, …, D)`.

        Returns
        -------
        array
            Of the shape of `x`, with the stack's axes in front.
        """
        self.check_input(x)
        self.x = x
        y, self.mean, self.var = self.fast(layer_normalization)(
            x, *self._of_rows(x), eps=self.eps, return_moments=True)
        self._y_shape = tuple(y.shape)
        return y

    def backward(self, dout: Array) -> Array:
        """Set `dgamma` and `dbeta`, and give `dx` in the shape of the input.

        Parameters
        ----------
        dout : array
            Gradient with respect to the last output, of its shape.
        """
        if self.x is None:
            raise RuntimeError(f"{self.name}.backward wants a forward before it")
        self.check_dout(dout, self._y_shape)
        dx, dgamma, dbeta = self.fast(layer_normalization_backward)(
            dout, self.x, *self._of_rows(self.x), eps=self.eps, mean=self.mean, var=self.var)
        xp = array_namespace(dx)
        self.dgamma = xp.reshape(dgamma, self.gamma.shape)
        self.dbeta = xp.reshape(dbeta, self.beta.shape)
        return dx

    def _of_rows(self, x: Array) -> tuple[Array, Array]:
        """Give `gamma` and `beta` axes of length 1 for those of `x` between the stack's and D."""
        stack, features = self.stack_shape(), self.gamma.shape[-1]
        between = x.ndim - len(stack) - 2
        fits = x.ndim == 2 or (
            between >= 0 and broadcast_shape(x.shape[:len(stack)], stack) is not None)
        if not fits or x.shape[-1] != features:
            in_front = ", ".join([*map(str, stack), "N"])
            raise ValueError(f"{self.name} wants x of shape (N, {features}) or ({in_front}, …, "
                             f"{features}); got {tuple(x.shape)}")
        places = (..., *(None,) * (between if stack else 0), slice(None))
        return self.gamma[places], self.beta[places]
