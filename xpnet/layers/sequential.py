"""Layers in a row."""

from __future__ import annotations

from xpnet.functional._array import Array
from xpnet.layers.composite import Composite, run_forward

__all__ = ["Sequential"]


class Sequential(Composite):
    """Layers in a row, each of which takes what the one before it gives.

    Parameters
    ----------
    layers : sequence or mapping
        The layers, in order; in a mapping, with names for messages. The k-th that has a `W` brings
        the parameter `Wk`, also where it lies within a layer made of layers.
    """

    def forward(self, x: Array, train_flg: bool = True) -> Array:
        """Go forward through all layers.

        Parameters
        ----------
        x : array
            As the first layer wants it.
        train_flg : bool
            Whether for training, with dropout and the statistics of the batch, or for inference.
        """
        for layer in self.layers.values():
            x = run_forward(layer, x, train_flg)
        return x

    def backward(self, dout: Array) -> Array:
        """Go backward through all layers; give the gradient with respect to the input."""
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        return dout

    def backward_params(self, dout: Array) -> None:
        """Go backward as far as there are parameters."""
        layers = [*self.layers.values()]
        first = next((k for k, layer in enumerate(layers) if layer.param_ndims), len(layers))
        for layer in reversed(layers[first + 1:]):
            dout = layer.backward(dout)
        if first < len(layers):
            layers[first].backward_params(dout)
