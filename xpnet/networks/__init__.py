"""Networks: any layers in a row, and those of the book."""

from xpnet.networks.deep_conv_net import DeepConvNet
from xpnet.networks.multi_layer_net import MultiLayerNet
from xpnet.networks.network import Network
from xpnet.networks.simple_conv_net import SimpleConvNet
from xpnet.networks.two_layer_net import TwoLayerNet

__all__ = ["DeepConvNet", "MultiLayerNet", "Network", "SimpleConvNet", "TwoLayerNet"]
