from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_training_figures import picture, pixels

from xpnet.training import draw_confusion, draw_mistakes, mistakes

DIGITS = tuple("0123456789")


def test_confusion(tmp_path: Path) -> None:
    counts = np.zeros((10, 10), int)
    draw_confusion(tmp_path / "none.png", counts, DIGITS)
    np.fill_diagonal(counts, 100)
    draw_confusion(tmp_path / "right.png", counts, DIGITS)
    counts[2, 7], counts[7, 7] = 100, 0  # half of the twos are taken for sevens, and there are none
    draw_confusion(tmp_path / "wrong.png", counts, DIGITS)
    guessed = np.eye(10, dtype=int)  # each among two
    draw_confusion(tmp_path / "guessed.png", guessed + np.roll(guessed, 1, axis=1), DIGITS)
    none, right, wrong = (picture(tmp_path / f"{n}.png") for n in ("none", "right", "wrong"))
    assert none.shape == right.shape == wrong.shape
    darkest = "#08306b"  # the end of matplotlib's Blues
    cell = pixels(right, darkest) / 10
    assert pixels(none, darkest) == pixels(picture(tmp_path / "guessed.png"), darkest) == 0
    assert 900 < cell < none.shape[0] * none.shape[1] / 100
    assert pixels(wrong, darkest) == pytest.approx(8 * cell, rel=0.02)
    # The square root of a half, in both cells of the row, and in the place of none other.
    changed = np.abs(right - wrong).max(axis=-1) > 0.02
    rows, columns = (np.flatnonzero(changed.any(axis=axis)) for axis in (1, 0))
    side = rows[-1] - rows[0] + 1
    assert side == pytest.approx(6 * cell**0.5, rel=0.15)  # from row 2 to row 7
    assert columns[-1] - columns[0] + 1 == side
    in_the_row = changed[rows[0]:rows[0] + side // 6]
    assert in_the_row.sum() > 1.8 * cell


def test_rare_mistakes_are_seen(tmp_path: Path) -> None:
    counts = np.diag(np.full(10, 1000))
    draw_confusion(tmp_path / "right.png", counts, DIGITS)
    counts[0, 9] = 10
    draw_confusion(tmp_path / "rare.png", counts, DIGITS)
    right, rare = picture(tmp_path / "right.png"), picture(tmp_path / "rare.png")
    cell = pixels(right, "#08306b") / 10
    assert (np.abs(right - rare).max(axis=-1) > 0.05).sum() > cell / 2  # the cell, not its number only


def test_confusion_of_other_classes(tmp_path: Path) -> None:
    draw_confusion(tmp_path / "three.png", np.diag([1, 2, 3]), ("Sandal", "Bag", "T-shirt/top"))
    draw_confusion(tmp_path / "ten.png", np.diag(np.ones(10, int)), DIGITS)
    three, ten = picture(tmp_path / "three.png"), picture(tmp_path / "ten.png")
    assert 200 < three.shape[0] < ten.shape[0]


@pytest.mark.parametrize(("number", "wanted"), [(24, [4, 1, 5, 2]), (2, [4, 1])])
def test_the_worst_mistakes_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, wanted: list[int]
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(mistakes, "draw_predictions", lambda *arguments: drawn.append(arguments))
    images = np.arange(6.0)[:, None, None] * np.ones((1, 2, 2))
    labels = np.array([0, 0, 1, 2, 1, 0])
    probabilities = np.array([[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.5, 0.3, 0.2], [0.0, 0.1, 0.9],
                              [0.0, 0.05, 0.95], [0.2, 0.0, 0.8]])
    draw_mistakes(tmp_path / "mistakes.png", images, labels, probabilities, "abc", number=number)
    ((path, x, t, p, classes),) = drawn
    assert (path, classes) == (tmp_path / "mistakes.png", "abc")
    assert x[:, 0, 0].tolist() == wanted
    np.testing.assert_array_equal(t, labels[wanted])
    np.testing.assert_array_equal(p, probabilities[wanted])


@pytest.mark.parametrize("images", [3, 0])
def test_no_mistake(tmp_path: Path, images: int) -> None:
    labels = np.arange(images)
    draw_mistakes(tmp_path / "mistakes.png", np.ones((images, 4, 4)), labels, np.eye(images, 3), "abc")
    assert pixels(picture(tmp_path / "mistakes.png"), "#ffffff") == picture(
        tmp_path / "mistakes.png")[..., 0].size


def test_mistakes(tmp_path: Path) -> None:
    images = np.zeros((9, 8, 8))
    images[:, 2:6, 2:6] = 1
    draw_mistakes(tmp_path / "mistakes.png", images, np.arange(9) % 2, np.tile([0.3, 0.7], (9, 1)), "ab")
    image = picture(tmp_path / "mistakes.png")
    assert image.shape[0] == pytest.approx(1.6 * 110, abs=2)  # one row: five are wrong
    assert pixels(image, "#c0392b") > 15
