"""What of xpnet can be adapted, and its parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from xpnet.layers import Composite, Layer
from xpnet.losses import Loss

__all__ = ["check_thing", "drawing", "parts"]


def check_thing(where: str, thing: object) -> None:
    """Refuse what is neither layer nor loss (TypeError)."""
    if not isinstance(thing, Layer | Loss):
        raise TypeError(f"{where} wants a layer, a network or a loss of xpnet, an instance as Relu(); "
                        f"got {thing!r:.60}")


def parts(thing: Layer | Loss) -> Iterator[Any]:
    """Give it, and the layers that it is made of."""
    yield thing
    if isinstance(thing, Composite):
        for layer in thing.layers.values():
            yield from parts(layer)


def drawing(layer: Layer) -> list[Any]:
    """Give the layers in it that draw random numbers."""
    return [part for part in parts(layer) if part.draws]
