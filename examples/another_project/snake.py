"""A layer of another project, written by hand, for every array library.

Snake (Ziyin, Hartwig & Ueda 2020, arXiv:2006.08195): `x + sin(a x)^2 / a`, which goes on with what repeats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from array_api_compat import array_namespace

from xpnet.layers import Layer


class Snake(Layer):
    """`x + sin(a * x)**2 / a`, with one trained frequency a feature.

    Parameters
    ----------
    a : array
        Frequencies, `(D,)`, not 0.
    """

    param_ndims: ClassVar[Mapping[str, int]] = {"a": 1}
    recordable: ClassVar[bool] = True  # its methods do nothing but compute arrays from arrays

    def __init__(self, a: Any) -> None:
        super().__init__()
        self.a = a
        self.da: Any = None
        self.x: Any = None

    def forward(self, x: Any) -> Any:
        """Compute the output, `(N, D)`, and remember the input."""
        self.check_input(x)
        xp = array_namespace(x, self.a)
        self.x = x
        return x + xp.sin(self.a * x) ** 2 / self.a

    def backward(self, dout: Any) -> Any:
        """Set `da`, and give the gradient with respect to the input."""
        xp, a, x = array_namespace(dout), self.a, self.x
        double = xp.sin(2 * a * x)  # the derivative of sin(u)^2
        self.da = xp.sum(dout * (x * double / a - xp.sin(a * x) ** 2 / a**2), axis=0)
        return dout * (1 + double)
