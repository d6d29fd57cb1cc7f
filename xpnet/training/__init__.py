"""Training: the loop, its history, and what a run leaves on disk."""

from xpnet.training.checkpoints import Checkpoints
from xpnet.training.diagnosis import NonFiniteLossError
from xpnet.training.evaluation import evaluate
from xpnet.training.figures import draw_curves, draw_predictions
from xpnet.training.history import Epoch, History
from xpnet.training.loop import fit
from xpnet.training.mistakes import draw_confusion, draw_mistakes
from xpnet.training.stopping import EarlyStopping
from xpnet.training.tensors import BrokenFileError
from xpnet.training.weights import load_network, load_weights, save_weights

__all__ = [
    "BrokenFileError",
    "Checkpoints",
    "EarlyStopping",
    "Epoch",
    "History",
    "NonFiniteLossError",
    "draw_confusion",
    "draw_curves",
    "draw_mistakes",
    "draw_predictions",
    "evaluate",
    "fit",
    "load_network",
    "load_weights",
    "save_weights",
]
