"""Processes that train one network together, each with its part of every batch."""

from xpnet.distributed.likeness import check_alike
from xpnet.distributed.ranks import RankError, Ranks, describe

__all__ = ["RankError", "Ranks", "check_alike", "describe"]
