"""What the model says of machines that nobody measured here, with what it assumes of them written down."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.rank_cost import (
    Cost,
    allreduce_time,
    efficiency,
    fastest_ranks,
    least_rows,
    ranks_that_pay,
    step_time,
)
from benchmarks.report import table, unit_of

__all__ = ["Training", "predictions"]


@dataclass(frozen=True)
class Training:
    """A network to be trained on one kind of processor.

    Parameters
    ----------
    sizes : tuple of int
        Features, neurons of each hidden layer, classes.
    per_second : float
        Operations (of float32) of a rank.
    memory : float
        Bytes per second that it reads or writes.
    """

    sizes: tuple[int, ...]
    per_second: float
    memory: float

    @property
    def name(self) -> str:
        """What it is, in words."""
        return "-".join(map(str, self.sizes))

    @property
    def layers(self) -> list[int]:
        """Parameters of each layer."""
        return [D * M + M for D, M in zip(self.sizes, self.sizes[1:], strict=False)]

    @property
    def size(self) -> float:
        """Bytes of all gradients."""
        return 4.0 * sum(self.layers)

    @property
    def per_row(self) -> float:
        """Seconds of forward and backward: three products a layer, but without the first one's `dx`."""
        return 2 * (3 * sum(self.layers) - self.layers[0]) / self.per_second

    @property
    def update(self) -> float:
        """Seconds of Adam, which reads four arrays and writes three."""
        return 7 * self.size / self.memory

    @property
    def shares(self) -> list[tuple[float, float]]:
        """Give two pieces of the gradient: all but the first layer's, when only that layer's `dW` is to come; that."""
        first = 4.0 * self.layers[0]
        return [(self.size - first, self.layers[0] / (3 * sum(self.layers) - self.layers[0])), (first, 0.0)]

    def pieces(self, rows: int) -> list[tuple[float, float]]:
        """Give the pieces of a step, in seconds."""
        return [(size, share * self.per_row * rows) for size, share in self.shares]


SMALL, LARGE, WIDE = (784, 50, 10), (784, 1024, 1024, 10), (784, 8192, 8192, 10)
PROCESSOR = (1e11, 3e10)
"""Operations and bytes per second of a rank on one core: 2.45e9 were measured in 25 ms, Adam's step in 1.2 to 2."""
GPU = (0.5 * 67e12, 3.35e12)
"""Half of what the datasheet of NVIDIA's H100 SXM says of float32, and its memory."""
NVLINK = Cost(latency=5e-6, per_byte=1 / 450e9, adding=3 / 3.35e12, overlap=0.8)
"""Per direction: the datasheet's 900 GB/s are both. The latency is assumed, as is the overlap."""
PCIE = replace(NVLINK, latency=1e-5, per_byte=1 / 64e9)
"""The same through PCI Express 5.0 with 16 lanes, 64 GB/s per direction."""
ETHERNET = {"10 Gbit/s": 1e10, "25 Gbit/s": 2.5e10, "100 Gbit/s": 1e11}
ETHERNET_LATENCY = 30e-6
"""Seconds from a program to one on another machine through TCP and a switch: assumed."""
WANTED = (0.5, 0.8, 0.95)
BATCHES = (1024, 8192)


def rows_of(training: Training, rows: int, ranks: int, cost: Cost) -> list[str]:
    """Give cells: the step alone, the sum, the step of all, its efficiency, and the least rows for three of these."""
    compute = training.per_row * rows
    total = allreduce_time(training.size, ranks, cost)
    share = efficiency(compute, training.update, training.pieces(rows), ranks, cost)
    least = [least_rows(wanted, training.per_row, training.update, training.shares, ranks, cost) for wanted in WANTED]
    return [training.name, unit_of(compute + training.update), unit_of(total),
            unit_of(step_time(compute, training.update, training.pieces(rows), ranks, cost)), f"{share:.0%}",
            *(f"{each:,}" for each in least)]


HEAD = ("network", "step of one rank", "sum", "step of all", "efficiency",
        *(f"rows a rank for {wanted:.0%}" for wanted in WANTED))


def predictions(tcp: Cost) -> str:
    """Give the tables: eight GPUs, 64 machines, and how many ranks pay.

    Parameters
    ----------
    tcp : Cost
        Fitted to TCP without a limit between two ranks on this machine: what the processors take for a byte, which no
        faster network changes.
    """
    parts = []
    rows = [[how, *rows_of(Training(sizes, *GPU), 256, 8, cost)]
            for how, cost in (("NVLink", NVLINK), ("PCI Express", PCIE)) for sizes in (SMALL, LARGE, WIDE)]
    parts.append("Eight GPUs in a machine, 256 rows each (assumed figures):\n\n" + table(["", *HEAD], rows))
    costs = {name: Cost(max(ETHERNET_LATENCY, tcp.latency), max(8 / rate, tcp.per_byte), tcp.adding, tcp.overlap)
             for name, rate in ETHERNET.items()}
    costs |= {f"{name}, RDMA": Cost(ETHERNET_LATENCY / 10, 8 / rate, tcp.adding, 0.8)
              for name, rate in ETHERNET.items()}
    rows = [[how, *rows_of(Training(sizes, *PROCESSOR), 256, 64, cost)]
            for how, cost in costs.items() for sizes in (SMALL, LARGE)]
    parts.append("64 machines, one core each, 256 rows a rank:\n\n" + table(["", *HEAD], rows))
    rows = []
    for name, cost, kind in [*((name, cost, PROCESSOR) for name, cost in costs.items()),
                             ("NVLink", NVLINK, GPU), ("PCI Express", PCIE, GPU)]:
        for sizes in (SMALL, LARGE):
            training, cells = Training(sizes, *kind), []
            for batch in BATCHES:
                ranks, seconds = fastest_ranks(batch, training.per_row, training.update, training.shares, cost)
                alone = training.per_row * batch + training.update
                half = ranks_that_pay(0.5, batch, training.per_row, training.update, training.shares, cost)
                cells.append(f"{half:,}; {ranks:,}, {alone / seconds:.3g} times")
            rows.append([name, training.name, *cells])
    parts.append("For a batch divided among the ranks: how many there may be for each to be worth half of one alone; "
                 "behind how many more make a step no faster, and how many times as fast as one they are:\n\n"
                 + table(["", "network", *(f"batch {batch:,}" for batch in BATCHES)], rows))
    return "\n\n".join(parts)
