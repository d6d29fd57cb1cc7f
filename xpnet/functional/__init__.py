"""Pure functions, each beside its backward.

A function takes arrays of any array-API library and gives arrays of the same library, dtype and
device. It keeps nothing, changes nothing, and can be traced. A backward takes `dout`, the gradient
of the loss with respect to the function's output, then the function's inputs, then, by keyword,
what the forward can hand on.
"""

from xpnet.functional.affine import affine, affine_backward
from xpnet.functional.cross_entropy import cross_entropy_error, cross_entropy_error_backward
from xpnet.functional.labels import one_hot
from xpnet.functional.relu import relu, relu_backward
from xpnet.functional.softmax import softmax, softmax_backward
from xpnet.functional.softmax_cross_entropy import (
    softmax_cross_entropy,
    softmax_cross_entropy_backward,
)

__all__ = [
    "affine",
    "affine_backward",
    "cross_entropy_error",
    "cross_entropy_error_backward",
    "one_hot",
    "relu",
    "relu_backward",
    "softmax",
    "softmax_backward",
    "softmax_cross_entropy",
    "softmax_cross_entropy_backward",
]
