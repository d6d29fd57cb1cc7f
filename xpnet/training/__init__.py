"""Training: the loop, its history, and what a run leaves on disk."""

from xpnet.training.checks import NonFiniteLossError
from xpnet.training.figures import draw_curves, draw_predictions
from xpnet.training.history import Epoch, History
from xpnet.training.loop import fit
from xpnet.training.weights import load_weights, save_weights

__all__ = [
    "Epoch",
    "History",
    "NonFiniteLossError",
    "draw_curves",
    "draw_predictions",
    "fit",
    "load_weights",
    "save_weights",
]
