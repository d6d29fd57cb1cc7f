"""Data sets of images: the IDX format, MNIST and its relatives."""

from xpnet.datasets.idx import DatasetError, map_idx, read_idx
from xpnet.datasets.mnist import class_names, load_mnist

__all__ = ["DatasetError", "class_names", "load_mnist", "map_idx", "read_idx"]
