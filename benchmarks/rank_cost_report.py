#!/usr/bin/env python3
"""Fit the model of `rank_cost.py` to what `rank_networks_probe.py` measured, and print both, and predictions."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.networks.predictions import predictions
from benchmarks.rank_cost import Cost, allreduce_time, fitted, step_time
from benchmarks.report import quartiles, table, unit_of

SHARE = 0.395
"""Of the products of the step that is measured, those to come when its sum begins."""
FITTED = (1, 1_000_000, 1_900_000)
"""Elements of the sums that the costs are fitted to; the others show what the model is worth."""
BEST = "by a thread every 0.3 ms"
AT_END = "one after the other"


def quiet(values: Sequence[float]) -> float:
    """Give the first quartile: on a machine that others use, what is above it is mostly theirs."""
    return quartiles(values)[0]


def cost_of(found: dict[str, Any], ranks: int) -> Cost:
    """Fit a network's costs to its sums, and the overlap to its steps."""
    adding = quiet(found["adding"]) / (1_863_690 * 4)
    cost = fitted({size * 4: quiet(found["sums"][str(size)]) for size in FITTED}, ranks, adding)
    steps = found["steps"].get("256")
    if not steps:
        return cost
    times = {way: quiet(seconds) for way, seconds in steps["seconds"].items()}
    window = min(SHARE * times["products alone"], times["sum alone"])
    return replace(cost, overlap=min(max((times[AT_END] - times[BEST]) / window, 0.0), 1.0))


def fits(networks: dict[str, Any], ranks: int) -> str:
    """Give the table of the fitted costs, and that of measured and predicted times."""
    costs = {name: cost_of(found, ranks) for name, found in networks.items()}
    sizes = list(next(iter(networks.values()))["sums"])
    first = table(["", "latency", "bandwidth", "adding", "overlap"], [
        [name, unit_of(cost.latency), f"{8e-9 / cost.per_byte:.3g} Gbit/s", f"{cost.adding * 1e9:.2f} ns/byte",
         f"{cost.overlap:.2f}"] for name, cost in costs.items()])
    rows = []
    for name, found in networks.items():
        row = [name]
        for size in sizes:
            measured, predicted = quiet(found["sums"][size]), allreduce_time(int(size) * 4, ranks, costs[name])
            row += [unit_of(measured), f"{predicted / measured:.2f}"]
        rows.append(row)
    second = table(["", *(cell for size in sizes for cell in (f"{int(size):,}", "model / it"))], rows)
    rows = []
    for name, found in networks.items():
        if "256" not in found["steps"]:
            continue
        times = {way: quiet(seconds) for way, seconds in found["steps"]["256"]["seconds"].items()}
        compute = times["products alone"]
        row = [name, unit_of(compute), unit_of(times["sum alone"])]
        for way, cost in ((AT_END, replace(costs[name], overlap=0.0)), (BEST, costs[name])):
            predicted = step_time(compute, 0.0, [(1_863_690 * 4, SHARE * compute)], ranks, cost)
            row += [unit_of(times[way]), f"{predicted / times[way]:.2f}"]
        rows.append(row)
    third = table(["", "products", "sum", AT_END, "model / it", BEST, "model / it"], rows)
    return "\n\n".join(["Fitted to sums of 1, 1,000,000 and 1,900,000 elements:\n\n" + first,
                        f"Sums over {ranks} ranks, by the elements:\n\n" + second,
                        "Products of a step, and a sum of 7.45 MB:\n\n" + third])


def main() -> None:
    """Print it all."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("found", type=Path, nargs="+", metavar="FILE", help="of rank_networks_probe.py --out")
    options = parser.parse_args()
    for k, file in enumerate(options.found):
        read = json.loads(file.read_text())
        print(read["machine"], fits(read["networks"], read["ranks"]), sep="\n\n", end="\n\n")
        if k == 0 and "no limit" in read["networks"]:
            print(predictions(cost_of(read["networks"]["no limit"], read["ranks"])))


if __name__ == "__main__":
    main()
