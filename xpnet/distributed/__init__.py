"""Processes that train one network together, each with its part of every batch."""

from xpnet.distributed.ranks import RankError, Ranks

__all__ = ["RankError", "Ranks"]
