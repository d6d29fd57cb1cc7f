"""Processes that train one network together, each with its part of every batch."""

from xpnet.distributed.errors import RankError, describe
from xpnet.distributed.likeness import check_alike
from xpnet.distributed.ranks import Ranks

__all__ = ["RankError", "Ranks", "check_alike", "describe"]
