"""Pure functions, each beside its backward.

A function takes arrays of any array-API library and gives arrays of the same library, dtype and
device. It keeps nothing, changes nothing, and can be traced. A backward takes `dout`, the gradient
of the loss with respect to the function's output, then the function's inputs, then, by keyword,
what the forward can hand on.
"""

from xpnet.functional.affine import affine, affine_backward
from xpnet.functional.batch_normalization import (
    batch_normalization,
    batch_normalization_backward,
    batch_normalization_inference,
    batch_normalization_inference_backward,
)
from xpnet.functional.convolution import convolution, convolution_backward
from xpnet.functional.cross_entropy import cross_entropy_error, cross_entropy_error_backward
from xpnet.functional.dropout import dropout, dropout_backward, dropout_mask
from xpnet.functional.gelu import gelu, gelu_backward
from xpnet.functional.labels import one_hot
from xpnet.functional.layer_normalization import layer_normalization, layer_normalization_backward
from xpnet.functional.leaky_relu import leaky_relu, leaky_relu_backward
from xpnet.functional.mean_squared_error import (
    mean_squared_error,
    mean_squared_error_backward,
)
from xpnet.functional.pooling import (
    average_pooling,
    average_pooling_backward,
    global_average_pooling,
    global_average_pooling_backward,
    max_pooling,
    max_pooling_backward,
)
from xpnet.functional.random_bits import random_bits
from xpnet.functional.relu import relu, relu_backward
from xpnet.functional.sigmoid import sigmoid, sigmoid_backward
from xpnet.functional.sigmoid_cross_entropy import (
    sigmoid_cross_entropy,
    sigmoid_cross_entropy_backward,
)
from xpnet.functional.silu import silu, silu_backward
from xpnet.functional.softmax import softmax, softmax_backward
from xpnet.functional.softmax_cross_entropy import (
    softmax_cross_entropy,
    softmax_cross_entropy_backward,
)
from xpnet.functional.tanh import tanh, tanh_backward

__all__ = [
    "affine",
    "affine_backward",
    "average_pooling",
    "average_pooling_backward",
    "batch_normalization",
    "batch_normalization_backward",
    "batch_normalization_inference",
    "batch_normalization_inference_backward",
    "convolution",
    "convolution_backward",
    "cross_entropy_error",
    "cross_entropy_error_backward",
    "dropout",
    "dropout_backward",
    "dropout_mask",
    "gelu",
    "gelu_backward",
    "global_average_pooling",
    "global_average_pooling_backward",
    "layer_normalization",
    "layer_normalization_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "max_pooling",
    "max_pooling_backward",
    "mean_squared_error",
    "mean_squared_error_backward",
    "one_hot",
    "random_bits",
    "relu",
    "relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "sigmoid_cross_entropy",
    "sigmoid_cross_entropy_backward",
    "silu",
    "silu_backward",
    "softmax",
    "softmax_backward",
    "softmax_cross_entropy",
    "softmax_cross_entropy_backward",
    "tanh",
    "tanh_backward",
]
