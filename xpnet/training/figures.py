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
    """Draw loss and metrics over the epochs into a PNG file, a line for each network of a stack."""
    metrics = [name for name in history.metrics if _is_number(history, name)]
    figure = _figure((4 * (1 + len(metrics)), 3.2))
    loss, *others = figure.subplots(1, 1 + len(metrics), squeeze=False)[0]
    _draw_curve(loss, history, "loss", BLUE)
    if any(value is not None for value in history.curve("validation loss")):
        _draw_curve(loss, history, "validation loss", ORANGE)
        loss.legend(frameon=False)
    for axes, name in zip(others, metrics, strict=True):
        _draw_curve(axes, history, name, ORANGE)
    for axes, title in zip((loss, *others), ("loss", *metrics), strict=True):
        axes.set(title=title.replace("_", " "), xlabel="epoch")
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _draw_curve(axes: Any, history: History, name: str, color: str) -> None:
    epochs = [e.epoch for e in history.epochs]
    marker = "o" if len(epochs) == 1 else None
    label = "training" if name == "loss" else "validation"
    for k in range(history.members or 1):
        curve = history.curve(name, None if history.members is None else k)
        axes.plot(epochs, [np.nan if v is None else v for v in curve], color=color, marker=marker,
                  alpha=1 if history.members is None else 0.6, label=label if k == 0 else None)


def _is_number(history: History, name: str) -> bool:
    value = history.curve(name, None if history.members is None else 0)[-1]
    return isinstance(value, int | float)


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
    rows = max(1, -(-len(images) // columns))
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
