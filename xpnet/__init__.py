"""xpnet: the layers of "Deep Learning from Scratch" on any array-API library.

Arrays go in, arrays of the same library, dtype and device come out: NumPy, CuPy, PyTorch, JAX, or
whatever follows the array API standard.
"""

from xpnet import datasets, functional, layers, losses, metrics, optimizers, training
from xpnet.backend import (
    Backend,
    BackendError,
    DeviceMemoryError,
    available_backends,
    backend_of,
    get_backend,
)
from xpnet.datasets import DatasetError, load_mnist
from xpnet.gradient import numerical_gradient
from xpnet.layers import (
    Affine,
    AveragePooling,
    BatchNormalization,
    Convolution,
    Dropout,
    Flatten,
    Gelu,
    GlobalAveragePooling,
    LayerNormalization,
    LeakyRelu,
    MaxPooling,
    Relu,
    Residual,
    Sequential,
    Sigmoid,
    Silu,
    Tanh,
)
from xpnet.losses import Loss, MeanSquaredError, SigmoidWithLoss, SoftmaxWithLoss
from xpnet.networks import DeepConvNet, MultiLayerNet, Network, SimpleConvNet, TwoLayerNet
from xpnet.optimizers import (
    SGD,
    AdaGrad,
    Adam,
    AdamW,
    CosineDecay,
    Momentum,
    Nesterov,
    RMSprop,
    StepDecay,
    Warmup,
)
from xpnet.prediction import Predictor
from xpnet.training import (
    Checkpoints,
    EarlyStopping,
    History,
    NonFiniteLossError,
    evaluate,
    fit,
    load_network,
    load_weights,
    save_weights,
)

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "AdamW",
    "Affine",
    "AveragePooling",
    "Backend",
    "BackendError",
    "BatchNormalization",
    "Checkpoints",
    "Convolution",
    "CosineDecay",
    "DatasetError",
    "DeepConvNet",
    "DeviceMemoryError",
    "Dropout",
    "EarlyStopping",
    "Flatten",
    "Gelu",
    "GlobalAveragePooling",
    "History",
    "LayerNormalization",
    "LeakyRelu",
    "Loss",
    "MaxPooling",
    "MeanSquaredError",
    "Momentum",
    "MultiLayerNet",
    "Nesterov",
    "Network",
    "NonFiniteLossError",
    "Predictor",
    "RMSprop",
    "Relu",
    "Residual",
    "Sequential",
    "Sigmoid",
    "SigmoidWithLoss",
    "Silu",
    "SimpleConvNet",
    "SoftmaxWithLoss",
    "StepDecay",
    "Tanh",
    "TwoLayerNet",
    "Warmup",
    "available_backends",
    "backend_of",
    "datasets",
    "evaluate",
    "fit",
    "functional",
    "get_backend",
    "layers",
    "load_mnist",
    "load_network",
    "load_weights",
    "losses",
    "metrics",
    "numerical_gradient",
    "optimizers",
    "save_weights",
    "training",
]
