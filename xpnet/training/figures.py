"""Pictures of a run (extra `train`)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet._extras import import_extra
from xpnet.training.atomic import atomic_path
from xpnet.training.history import History

__all__ = ["draw_curves", "draw_predictions"]

BLUE, ORANGE, RED = "#1f5fa8", "#d9730d", "#c0392b"


def draw_curves(path: str | os.PathLike[str], history: History) -> None:
    """Draw loss and accuracy over the epochs into a PNG file."""
    figure = _figure((8, 3.2))
    epochs = [e.epoch for e in history.epochs]
    marker = "o" if len(epochs) == 1 else None
    loss, accuracy = figure.subplots(1, 2)
    loss.plot(epochs, [e.loss for e in history.epochs], color=BLUE, marker=marker)
    loss.set(title="training loss", xlabel="epoch", ylim=(0, None))
    values = [np.nan if e.accuracy is None else e.accuracy for e in history.epochs]
    accuracy.plot(epochs, values, color=ORANGE, marker=marker)
    accuracy.set(title="test accuracy", xlabel="epoch")
    for axes in (loss, accuracy):
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def draw_predictions(
    path: str | os.PathLike[str],
    images: NDArray[Any],
    labels: NDArray[Any],
    probabilities: NDArray[Any],
    classes: Sequence[str],
) -> None:
    """Draw images, with the class the network gives each and how sure it is, into a PNG file.

    Parameters
    ----------
    path : path
        The file.
    images : numpy.ndarray
        `(N, H, W)`.
    labels : numpy.ndarray
        Class numbers `(N,)`. Where the network says another, the title is red and names both.
    probabilities : numpy.ndarray
        `(N, C)`.
    classes : sequence of str
        What each class number means.
    """
    columns = 8
    rows = -(-len(images) // columns)
    figure = _figure((1.25 * columns, 1.6 * rows))
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, image, label, p in zip(axes, images, labels, probabilities, strict=False):
        said = int(np.argmax(p))
        axis.imshow(image, cmap="gray_r")
        title = f"{classes[said]}  {p[said]:.0%}"
        if said != label:
            title += f"\nnot {classes[int(label)]}"
        axis.set_title(title, fontsize=8, color="black" if said == label else RED)
    _save(figure, path)


def _figure(size: tuple[float, float]) -> Any:
    return import_extra("matplotlib.figure", "drawing").Figure(size, layout="constrained")


def _save(figure: Any, path: str | os.PathLike[str]) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)
