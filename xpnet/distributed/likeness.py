"""What has to be the same on all ranks, and what to say where it is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xpnet.distributed.ranks import Ranks

__all__ = ["check_alike"]


def check_alike(ranks: Ranks, what: Mapping[str, Any]) -> None:
    """Refuse ranks that do not agree (ValueError), which name what they differ in.

    Parameters
    ----------
    ranks : Ranks
        All ranks.
    what : mapping
        What has to be the same, as JSON knows it, by what to call it.
    """
    every = ranks.gather(list(what.items()))
    for rank, other in enumerate(every):
        first, found = dict(every[0]), dict(other)
        for name in [*first, *(name for name in found if name not in first)]:
            if first.get(name) != found.get(name):
                raise ValueError(f"all ranks want the same {name}; rank 0 has {_short(first.get(name))}, "
                                 f"rank {rank} {_short(found.get(name))}")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 100 else f"{text[:97]}…"
