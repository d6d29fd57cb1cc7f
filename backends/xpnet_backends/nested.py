"""Arrays in nested dictionaries, tuples and lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["leaves", "mapped"]


def leaves(tree: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Give what is no dictionary, tuple or list, and the expression for where it lies."""
    if isinstance(tree, Mapping):
        for key, a in tree.items():
            yield from leaves(a, f"{place}[{key!r}]")
    elif isinstance(tree, tuple | list):
        for k, a in enumerate(tree):
            yield from leaves(a, f"{place}[{k}]")
    else:
        yield place, tree


def mapped(f: Callable[[Any], Any], tree: Any) -> Any:
    """Give the same tree with `f(leaf)` in the place of each leaf."""
    if isinstance(tree, Mapping):
        return {name: mapped(f, a) for name, a in tree.items()}
    if isinstance(tree, tuple | list):
        return (tuple if isinstance(tree, tuple) else list)(mapped(f, a) for a in tree)
    return f(tree)
