"""xpnet: the layers of "Deep Learning from Scratch" on any array-API library.

Arrays go in, arrays of the same library, dtype and device come out: NumPy, CuPy, PyTorch, JAX, or
whatever follows the array API standard.
"""

from xpnet import datasets, functional, layers, losses, metrics, training
from xpnet.backend import Backend, BackendError, available_backends, backend_of, get_backend
from xpnet.datasets import DatasetError, load_mnist
from xpnet.gradient import numerical_gradient
from xpnet.layers import Affine, Relu
from xpnet.losses import SoftmaxWithLoss
from xpnet.networks import Network, TwoLayerNet
from xpnet.optimizers import SGD
from xpnet.training import History, NonFiniteLossError, fit, load_weights, save_weights

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "Affine",
    "Backend",
    "BackendError",
    "DatasetError",
    "History",
    "Network",
    "NonFiniteLossError",
    "Relu",
    "SoftmaxWithLoss",
    "TwoLayerNet",
    "available_backends",
    "backend_of",
    "datasets",
    "fit",
    "functional",
    "get_backend",
    "layers",
    "load_mnist",
    "load_weights",
    "losses",
    "metrics",
    "numerical_gradient",
    "save_weights",
    "training",
]
