"""What a step of data-parallel training takes: a model of sums over ranks, and of how much of them is hidden.

The costs of sums are those of Thakur, Rabenseifner and Gropp, "Optimization of Collective Communication Operations in
MPICH", International Journal of High Performance Computing Applications 19 (2005), sections 3 and 4: a message of n
bytes takes α + nβ, adding n bytes up takes nγ, and a rank sends and receives one message at a time. Messages between
different pairs of ranks do not get in one another's way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Cost", "allreduce_time", "efficiency", "fastest_ranks", "fitted", "least_rows", "ranks_that_pay",
           "recursive_doubling", "reduce_scatter_allgather", "ring", "step_time"]

SHORT = 2048
"""Bytes up to which MPICH sums by recursive doubling (its MPIR_CVAR_ALLREDUCE_SHORT_MSG_SIZE)."""


@dataclass(frozen=True)
class Cost:
    """What messages between ranks take.

    Parameters
    ----------
    latency : float
        Seconds of a message however short: α.
    per_byte : float
        Seconds of each byte more: β, one over the bandwidth.
    adding : float
        Seconds of adding up a byte: γ.
    overlap : float
        How fast a sum goes on beside products, as a share of its speed alone, less what it takes from them; 0 where a
        sum is the processor's work.
    """

    latency: float
    per_byte: float
    adding: float = 0.0
    overlap: float = 0.0

    def __post_init__(self) -> None:
        if min(self.latency, self.per_byte, self.adding) < 0 or not 0 <= self.overlap <= 1:
            raise ValueError(f"costs are not negative, and the overlap is a share; got {self}")


def recursive_doubling(size: float, ranks: int, cost: Cost) -> float:
    """Give the seconds of a sum in which pairs exchange all of it: lg p (α + nβ + nγ), section 4.5.

    Where the ranks are no power of two, some hand over theirs before and get the sum behind: two messages more.
    """
    rounds = int(math.log2(ranks))
    seconds = rounds * (cost.latency + size * (cost.per_byte + cost.adding))
    if ranks != 1 << rounds:
        seconds += 2 * (cost.latency + size * cost.per_byte) + size * cost.adding
    return seconds


def reduce_scatter_allgather(size: float, ranks: int, cost: Cost) -> float:
    """Give the seconds of Rabenseifner's sum: 2 lg p α + 2 (p-1)/p nβ + (p-1)/p nγ, section 4.5."""
    rounds = int(math.log2(ranks))
    whole = 1 << rounds
    share = (whole - 1) / whole
    seconds = 2 * rounds * cost.latency + share * size * (2 * cost.per_byte + cost.adding)
    if ranks != whole:
        seconds += 2 * (cost.latency + size * cost.per_byte) + size * cost.adding
    return seconds


def ring(size: float, ranks: int, cost: Cost) -> float:
    """Give the seconds of a sum around a ring: 2 (p-1) α + 2 (p-1)/p nβ + (p-1)/p nγ, sections 4.1 and 4.4."""
    share = (ranks - 1) / ranks
    return 2 * (ranks - 1) * cost.latency + share * size * (2 * cost.per_byte + cost.adding)


def allreduce_time(size: float, ranks: int, cost: Cost) -> float:
    """Give the seconds of MPICH's sum of so many bytes: short ones by recursive doubling, then Rabenseifner's.

    Parameters
    ----------
    size : float
        Bytes of each rank's vector.
    ranks : int
        How many; with one there is nothing to do.
    cost : Cost
        Of the network.
    """
    if ranks == 1 or size == 0:
        return 0.0
    return (recursive_doubling if size <= SHORT else reduce_scatter_allgather)(size, ranks, cost)


def step_time(
    compute: float, update: float, pieces: Sequence[tuple[float, float]], ranks: int, cost: Cost
) -> float:
    """Give the seconds of a training step: forward and backward, the sums that are not hidden, and the update.

    Parameters
    ----------
    compute : float
        Seconds of forward and backward of a rank's rows.
    update : float
        Seconds of the optimiser.
    pieces : sequence of (float, float)
        Of the gradient, in order: bytes, and the seconds of `compute` still to come when its sum begins. They are
        summed one behind the other.
    ranks : int
        How many.
    cost : Cost
        Of the network. Beside computing, sums advance by `cost.overlap` of their speed.
    """
    waiting, begun = 0.0, compute
    for size, left in pieces:
        if not 0 <= left <= begun:
            raise ValueError(f"pieces begin one behind the other within {compute} s; got {list(pieces)}")
        waiting = max(0.0, waiting - cost.overlap * (begun - left)) + allreduce_time(size, ranks, cost)
        begun = left
    return compute + max(0.0, waiting - cost.overlap * begun) + update


def efficiency(
    compute: float, update: float, pieces: Sequence[tuple[float, float]], ranks: int, cost: Cost
) -> float:
    """Give one rank's time for its rows alone as a share of the step's with so many ranks: 1 is perfect."""
    return (compute + update) / step_time(compute, update, pieces, ranks, cost)


def least_rows(
    wanted: float, per_row: float, update: float, shares: Sequence[tuple[float, float]], ranks: int, cost: Cost
) -> int:
    """Give the rows that each rank wants, for the efficiency to be what is wanted.

    Parameters
    ----------
    wanted : float
        Above 0 and below 1.
    per_row : float
        Seconds of forward and backward of a row.
    update : float
        Seconds of the optimiser.
    shares : sequence of (float, float)
        Of the gradient: bytes, and the share of `compute` still to come when its sum begins.
    ranks, cost
        As for `step_time`.
    """
    def reached(rows: int) -> bool:
        compute = per_row * rows
        pieces = [(size, share * compute) for size, share in shares]
        return efficiency(compute, update, pieces, ranks, cost) >= wanted

    high = 1
    while not reached(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def fastest_ranks(
    rows: int, per_row: float, update: float, shares: Sequence[tuple[float, float]], cost: Cost
) -> tuple[int, float]:
    """Give how many ranks, of the powers of two, go through a batch of so many rows in the least time, and that time.

    More ranks than these do not pay: each has fewer rows, and the sum takes as long or longer. The parameters are
    those of `least_rows`.
    """
    best = (1, math.inf)
    for ranks in (1 << k for k in range(rows.bit_length())):
        compute = per_row * rows / ranks
        seconds = step_time(compute, update, [(size, share * compute) for size, share in shares], ranks, cost)
        if seconds < best[1]:
            best = (ranks, seconds)
    return best


def ranks_that_pay(
    wanted: float, rows: int, per_row: float, update: float, shares: Sequence[tuple[float, float]], cost: Cost
) -> int:
    """Give the largest number of ranks, of the powers of two, that are worth that share each of one rank alone.

    The batch of so many rows is divided among them, the time of one rank alone is that for all rows. The other
    parameters are those of `least_rows`.
    """
    alone, best = per_row * rows + update, 1
    for ranks in (1 << k for k in range(rows.bit_length())):
        compute = per_row * rows / ranks
        seconds = step_time(compute, update, [(size, share * compute) for size, share in shares], ranks, cost)
        if alone >= wanted * ranks * seconds:
            best = ranks
    return best


def fitted(times: Mapping[int, float], ranks: int, adding: float = 0.0, overlap: float = 0.0) -> Cost:
    """Fit α and β to measured sums, by least squares of the relative differences.

    Parameters
    ----------
    times : mapping
        Seconds, by the bytes of each rank's vector.
    ranks : int
        With which that was measured.
    adding, overlap : float
        Measured otherwise: with two ranks, γ is not told from β.
    """
    rows, right = [], []
    for size, seconds in times.items():
        latencies = allreduce_time(size, ranks, Cost(1.0, 0.0))
        bytes_moved = allreduce_time(size, ranks, Cost(0.0, 1.0))
        rest = seconds - allreduce_time(size, ranks, Cost(0.0, 0.0, adding))
        rows.append([latencies / seconds, bytes_moved / seconds])
        right.append(rest / seconds)
    solution = np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]
    latency, per_byte = (max(0.0, float(value)) for value in solution)
    return Cost(latency, per_byte, adding, overlap)
