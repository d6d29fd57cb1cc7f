"""The book's layers: `forward` beside `backward`, thin over `xpnet.functional`."""

from xpnet.layers.activations import Gelu, LeakyRelu, Sigmoid, Silu, Tanh
from xpnet.layers.affine import Affine
from xpnet.layers.batch_normalization import BatchNormalization
from xpnet.layers.composite import Composite
from xpnet.layers.convolution import Convolution
from xpnet.layers.dropout import Dropout
from xpnet.layers.flatten import Flatten
from xpnet.layers.layer import Layer
from xpnet.layers.layer_normalization import LayerNormalization
from xpnet.layers.parameters import Parameters
from xpnet.layers.pooling import AveragePooling, GlobalAveragePooling, MaxPooling
from xpnet.layers.random_layer import RandomLayer
from xpnet.layers.relu import Relu
from xpnet.layers.residual import Residual
from xpnet.layers.sequential import Sequential

__all__ = [
    "Affine",
    "AveragePooling",
    "BatchNormalization",
    "Composite",
    "Convolution",
    "Dropout",
    "Flatten",
    "Gelu",
    "GlobalAveragePooling",
    "Layer",
    "LayerNormalization",
    "LeakyRelu",
    "MaxPooling",
    "Parameters",
    "RandomLayer",
    "Relu",
    "Residual",
    "Sequential",
    "Sigmoid",
    "Silu",
    "Tanh",
]
