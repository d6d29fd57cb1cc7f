from __future__ import annotations

import errno
from pathlib import Path
from typing import Any, NoReturn

import matplotlib.figure
import matplotlib.image
import numpy as np
import pytest
from folders import content
from numpy.typing import NDArray
from test_training_history import HISTORY

from xpnet import History
from xpnet.training import Epoch, draw_curves, draw_predictions


def picture(path: Path) -> NDArray[Any]:
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    return matplotlib.image.imread(path)[..., :3]


def pixels(image: NDArray[Any], colour: str) -> int:
    """Count the pixels of a colour, as #rrggbb."""
    wanted = np.array([int(colour[i:i + 2], 16) for i in (1, 3, 5)]) / 255
    return int((np.abs(image - wanted).max(axis=-1) < 0.02).sum())


BLUE, ORANGE = "#1f5fa8", "#d9730d"


def drawn(history: History, folder: Path) -> list[NDArray[Any]]:
    """Draw curves, and give a picture for each of the axes."""
    draw_curves(folder / "curves.png", history)
    image = picture(folder / "curves.png")
    height, width, _ = image.shape
    parts = round(width / 440)
    assert height >= 300
    assert width >= 400
    return [image[:, k * width // parts:(k + 1) * width // parts] for k in range(parts)]


@pytest.mark.parametrize(("history", "loss", "accuracy"), [
    (HISTORY, True, True),
    (History(HISTORY.epochs[:1]), True, True),  # a line of one point is invisible
    (History([Epoch(1, 2.0, {}, 1.0, 1.0), Epoch(2, 1.0, {}, 1.0, 1.0)]), True, False),
    (History([Epoch(k, 2.0, {"loss": 1.0, "accuracy": 0.5}, 1.0, 1.0) for k in (1, 2)]), True, True),
    (History(), False, False),
], ids=["some", "one epoch", "no accuracy", "flat", "none"])
def test_curves(tmp_path: Path, history: History, loss: bool, accuracy: bool) -> None:
    left, *right = drawn(history, tmp_path)
    assert (pixels(left, BLUE) > 10) is loss
    assert (pixels(left, ORANGE) > 10) is accuracy  # the loss of the validation data
    assert len(right) == int(accuracy)
    for axes in right:
        assert pixels(axes, ORANGE) > 10
        assert pixels(axes, BLUE) == 0


def test_a_line_for_each_network(tmp_path: Path) -> None:
    def history(members: int) -> History:
        return History([
            Epoch(epoch, [k + 1.0 / epoch for k in range(members)],
                  {"loss": [float(k) for k in range(members)], "confusion_matrix": [[1]] * members,
                   "accuracy": [k / members for k in range(members)]}, 1.0, 1.0)
            for epoch in (1, 2)
        ])

    lines = []
    for members in (1, 4):
        left, right, *more = drawn(history(members), tmp_path)
        assert more == []  # a matrix is not drawn
        lines.append([int((np.ptp(axes, axis=-1) > 0.2).sum()) for axes in (left, right)])
    assert all(four > 2.5 * one for one, four in zip(*lines, strict=True))


def test_values_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    nan, inf = float("nan"), float("inf")
    left, right = drawn(History([Epoch(1, 2.0, {"loss": inf, "r2_score": nan}, 1.0, 1.0),
                                 Epoch(2, nan, {"loss": 1.0, "r2_score": 0.5}, 1.0, 1.0),
                                 Epoch(3, 1.0, {"loss": nan, "r2_score": 0.6}, 1.0, 1.0)]), tmp_path)
    assert pixels(right, ORANGE) > 10
    assert left.shape == right.shape


@pytest.mark.parametrize("images", [1, 8, 9, 24])
def test_predictions(tmp_path: Path, images: int) -> None:
    x = np.zeros((images, 28, 28), np.float32)
    x[:, 7:21, 7:21] = 1
    t = np.arange(images, dtype=np.uint8) % 10
    right = np.full((images, 10), 0.01, np.float32)
    right[np.arange(images), t] = 0.91
    draw_predictions(tmp_path / "right.png", x, t, right, tuple("0123456789"))
    draw_predictions(tmp_path / "wrong.png", x, (t + 1) % 10, right, tuple("0123456789"))
    image, wrong = picture(tmp_path / "right.png"), picture(tmp_path / "wrong.png")
    rows = -(-images // 8)
    assert image.shape[1] >= 1000
    assert image.shape[0] >= 150 * rows
    assert pixels(image, "#000000") > images * 14 * 14  # the squares
    assert pixels(image, "#c0392b") == 0
    assert pixels(wrong, "#c0392b") > 3 * images  # a title for each


def test_picture_that_cannot_be_written_leaves_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_curves(tmp_path / "curves.png", HISTORY)
    before = content(tmp_path)

    def save_half(self: Any, path: Path, **options: Any) -> NoReturn:
        path.write_bytes(b"\x89PNG")
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", save_half)
    with pytest.raises(OSError, match="No space left"):
        draw_curves(tmp_path / "curves.png", HISTORY)
    assert content(tmp_path) == before
