"""The book's layers: `forward` beside `backward`, thin over `xpnet.functional`."""

from xpnet.layers.affine import Affine
from xpnet.layers.layer import Layer
from xpnet.layers.parameters import Parameters
from xpnet.layers.relu import Relu

__all__ = ["Affine", "Layer", "Parameters", "Relu"]
