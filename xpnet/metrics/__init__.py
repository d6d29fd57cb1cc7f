"""How well predictions fit the labels: for a stack, one number a network."""

from xpnet.metrics.accuracy import accuracy
from xpnet.metrics.binary_accuracy import binary_accuracy
from xpnet.metrics.confusion_matrix import confusion_matrix
from xpnet.metrics.r2_score import r2_score
from xpnet.metrics.top_k_accuracy import top_k_accuracy

__all__ = ["accuracy", "binary_accuracy", "confusion_matrix", "r2_score", "top_k_accuracy"]
