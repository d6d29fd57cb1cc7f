"""Pictures of what a classifier takes for what (extra `train`)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet._extras import import_extra
from xpnet.training.atomic import atomic_path
from xpnet.training.figures import draw_predictions

__all__ = ["draw_confusion", "draw_mistakes"]


def draw_confusion(
    path: str | os.PathLike[str], counts: NDArray[Any], classes: Sequence[str]
) -> None:
    """Draw a confusion matrix into a PNG file.

    The darker a cell, the larger its share of its row: by the square root, so that what is rare is
    seen beside the diagonal.

    Parameters
    ----------
    path : path
        The file.
    counts : numpy.ndarray
        `(C, C)`, as `xpnet.metrics.confusion_matrix` counts: in row i and column j, what is of
        class i and taken for j.
    classes : sequence of str
        What each class number means.
    """
    counts = np.asarray(counts)
    number = len(classes)
    side = 2 + 0.45 * number
    figure = import_extra("matplotlib.figure", "drawing").Figure((side, side), layout="constrained")
    axes = figure.subplots()
    shade = np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
    axes.imshow(shade, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.argwhere(counts):
        axes.text(j, i, str(counts[i, j]), ha="center", va="center", fontsize=8,
                  color="white" if shade[i, j] > 0.6 else "black")
    rotation = 90 if max(map(len, classes), default=0) > 3 else 0
    axes.set_xticks(range(number), classes, rotation=rotation)
    axes.set_yticks(range(number), classes)
    axes.set(xlabel="what the network says", ylabel="what it is")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)


def draw_mistakes(
    path: str | os.PathLike[str],
    images: NDArray[Any],
    labels: NDArray[Any],
    probabilities: NDArray[Any],
    classes: Sequence[str],
    *,
    number: int = 24,
) -> None:
    """Draw the worst mistakes into a PNG file: those of which the network is surest come first.

    Parameters
    ----------
    path : path
        The file. Without a mistake, it is a picture without images.
    images, labels, probabilities, classes
        As for `draw_predictions`.
    number : int
        How many to draw at most.
    """
    sure = np.max(probabilities, axis=1, initial=0)
    wrong = np.flatnonzero(np.argmax(probabilities, axis=1) != labels)
    worst = wrong[np.argsort(-sure[wrong], kind="stable")][:number]
    draw_predictions(path, images[worst], labels[worst], probabilities[worst], classes)
