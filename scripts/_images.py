"""Images for a network, from image files and from arrays in .npy files."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from _command import check_installed, describe
from numpy.typing import NDArray

from xpnet import Network

__all__ = ["input_shape", "read_images"]

Shape: TypeAlias = tuple[int, ...]
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "PPM", "WEBP")
MODES = {1: "L", 3: "RGB"}
"""What Pillow calls images of so many channels."""


def input_shape(network: Network) -> Shape | None:
    """Give the shape of one input: `(C, H, W)`, or `(D,)` where D is no square; None if unknown."""
    if "input_dim" in network.arguments:
        return tuple(network.arguments["input_dim"])
    first = network.params.get("W1")
    if first is None or first.ndim != 2:
        return None
    features = first.shape[0]
    side = math.isqrt(features)
    return (1, side, side) if side * side == features else (features,)


def read_images(path: Path, shape: Shape | None, invert: bool) -> tuple[NDArray[Any], bool]:
    """Read a file's images.

    Parameters
    ----------
    path : Path
        An image file, made as large as the network wants it; or a .npy file of one image or more.
    shape : tuple of int, optional
        Of one input.
    invert : bool
        Whether they are black on white, and white on black is wanted.

    Returns
    -------
    images : numpy.ndarray
        `(N, *shape)`, of a floating dtype; pixels from 0 to 1 if they were of 8 bits.
    several : bool
        Whether the file holds a batch.

    Raises
    ------
    ValueError
        If the file is broken, or its images do not fit.
    """
    try:
        if path.suffix.lower() == ".npy":
            x, several = _batch(_array(path), shape)
        else:
            check_installed("PIL")
            x, several = _image(path, shape, background=255 if invert else 0)[None, ...], False
    except (FileNotFoundError, IsADirectoryError, PermissionError, MemoryError, ImportError):
        raise
    except Exception as error:  # noqa: BLE001  a broken image can raise any
        raise ValueError(f"{path}: {describe(error)}") from None
    return (1 - x if invert else x), several


def _array(path: Path) -> NDArray[Any]:
    """Read an array, and make pixels of uint8 numbers from 0 to 1."""
    with path.open("rb") as file:
        a = np.lib.format.read_array(file, allow_pickle=False)
    if a.dtype == np.uint8:
        return np.divide(a, np.float32(255), dtype=np.float32)
    if a.dtype.kind != "f":
        raise ValueError(f"pixels of uint8, or floating numbers, wanted; got {a.dtype}")
    if not np.isfinite(a).all():
        raise ValueError("finite numbers wanted; it holds NaN or infinity")
    return a.astype(np.float64 if a.itemsize > 4 else np.float32)


def _batch(a: NDArray[Any], shape: Shape | None) -> tuple[NDArray[Any], bool]:
    """Make a batch of one input, or of several, whose axes a file may have left out."""
    if a.size == 0:
        raise ValueError(f"images wanted; got none, shape {a.shape}")
    if shape is None:
        return a, True
    forms = [shape, (math.prod(shape),)]
    if len(shape) == 3 and shape[0] == 1:
        forms.append(shape[1:])
    if a.shape in forms:
        return a.reshape(1, *shape), False
    if a.shape[1:] in forms:
        return a.reshape(-1, *shape), True
    wanted = " or ".join(str(form) for form in forms)
    raise ValueError(f"one image of shape {wanted}, or a batch (N, …) of them, wanted; "
                     f"got {a.shape}")


def _image(path: Path, shape: Shape | None, background: int) -> NDArray[Any]:
    """Read an image of the shape `(C, H, W)`; what is transparent becomes background."""
    from PIL import Image, ImageOps

    channels = 1 if shape is None else shape[0]
    if channels not in MODES or len(shape or (1, 1, 1)) != 3:
        raise ValueError(f"the network takes no images, but inputs of shape {shape}")
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path, formats=FORMATS) as file:
            image = ImageOps.exif_transpose(file)
            if image.mode.startswith("I"):  # 16 bits, which Pillow would clip to 8
                image = Image.fromarray((np.asarray(image) / 257).round().astype(np.uint8))
            elif image.has_transparency_data:
                below = Image.new("RGBA", image.size, (background,) * 3)
                image = Image.alpha_composite(below, image.convert("RGBA"))
            image = image.convert(MODES[channels])
    if shape is not None and image.size != (shape[2], shape[1]):
        image = ImageOps.pad(image, (shape[2], shape[1]), color=(background,) * channels)
    pixels = np.asarray(image).reshape(image.height, image.width, channels)
    return np.divide(pixels.transpose(2, 0, 1), np.float32(255), dtype=np.float32)
