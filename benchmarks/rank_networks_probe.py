#!/usr/bin/env python3
"""Measure sums over ranks (MPI's Allreduce) in networks of limited bandwidth and added latency, all on this machine.

Each round goes through all networks, so that what else the machine does falls on all of them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.processes import environment
from benchmarks.rank_networks import Network, NetworksUnavailableError, run
from benchmarks.report import machine, quartiles, table, unit_of

NETWORKS: dict[str, Network | None] = {"shared memory": None} | {
    network.name: network for network in (
        Network(), Network(forwarded=True), Network(1e10), Network(1e9), Network(1e8), Network(delay=1e-4),
        Network(delay=1e-3), Network(1e9, 1e-4), Network(1e9, 1e-3))}
MEASURING = Path(__file__).parent / "networks" / "measuring.py"

Found = dict[str, Any]


def add(found: Found, more: Found) -> None:
    """Add the lists of another round to those there are."""
    for key, value in more.items():
        if isinstance(value, dict):
            add(found.setdefault(key, {}), value)
        else:
            found.setdefault(key, []).extend(value)


def measure(names: list[str], options: argparse.Namespace) -> dict[str, Found]:
    """Measure in each network by turns; a network that fails in a round goes without it."""
    found: dict[str, Found] = {name: {} for name in names}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "found.json"
        for k in range(options.rounds):
            for name in names[k % len(names):] + names[:k % len(names)]:
                file.unlink(missing_ok=True)
                slow = name.startswith("100 Mbit")
                # OpenBLAS reads the number of its threads from the environment.
                command = ["env", *(f"{key}={value}" for key, value in environment(1).items() if "_THREADS" in key),
                           sys.executable, str(MEASURING), str(file), str(2 if slow else options.steps),
                           *map(str, options.batches)]
                try:
                    done = run(command, options.ranks, NETWORKS[name], timeout=120)
                except subprocess.TimeoutExpired:
                    print(f"round {k + 1}, {name}: not done after two minutes", file=sys.stderr)
                    continue
                if done.returncode:
                    raise SystemExit(f"{name}: status {done.returncode}")
                add(found[name], json.loads(file.read_text()))
                print(f"round {k + 1} of {options.rounds}: {name}", file=sys.stderr)
            write(found, options)
    return found


def write(found: dict[str, Found], options: argparse.Namespace) -> None:
    """Write what there is, after each round: whatever happens then, that is kept."""
    if options.out:
        described = {name: None if (network := NETWORKS[name]) is None else asdict(network) for name in found}
        options.out.write_text(json.dumps({"machine": machine(), "ranks": options.ranks, "described": described,
                                           "networks": found}))


def tables(found: dict[str, Found], ranks: int) -> str:
    """Give tables of the sums and of the ways to have one beside products: the median, and the first quartile."""
    sizes = list(next(iter(found.values()))["sums"])
    rows = [[name, unit_of(statistics.median(each["round trips"])) if each["round trips"] else "-",
             *(f"{unit_of(middle)} ({unit_of(first)})" for size in sizes
               for first, middle, _ in [quartiles(each["sums"][size])])]
            for name, each in found.items()]
    parts = [f"Sums over {ranks} ranks, the median (first quartile), by the elements:\n\n"
             + table(["", "round trip", *(f"{int(size):,}" for size in sizes)], rows)]
    for batch in next(iter(found.values()))["steps"]:
        steps = {name: each["steps"][batch] for name, each in found.items()}
        ways = list(next(iter(steps.values()))["seconds"])
        rows = [[way, *(cell for each in steps.values() for cell in (
            f"{statistics.median(each['seconds'][way]) * 1e3:.1f} ({quartiles(each['seconds'][way])[0] * 1e3:.1f})",
            f"{statistics.median(each['processor'][way]) * 1e3:.0f}"))] for way in ways]
        parts.append(f"Products of a step with {batch} rows a rank, and a sum of 7.45 MB begun when 39% of them are to "
                     "come: milliseconds, the median (first quartile), and the processor's:\n\n"
                     + table(["", *(cell for name in steps for cell in (name, "processor"))], rows))
    return "\n\n".join(parts)


def main() -> None:
    """Measure as the options say, print tables, and write JSON."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--ranks", type=int, default=2, metavar="N", help="processes (default: 2)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="through all networks (default: 5)")
    parser.add_argument("--steps", type=int, default=6, metavar="N", help="training steps of each way in a round (6)")
    parser.add_argument("--batches", type=int, nargs="*", default=[256], metavar="ROWS",
                        help="rows of a rank in these steps (default: 256; none: no steps)")
    parser.add_argument("--only", nargs="+", metavar="NETWORK", help=f"of: {'; '.join(NETWORKS)}")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write what was measured there, as JSON")
    parser.add_argument("--read", type=Path, metavar="FILE", help="measure nothing: print the tables of such a file")
    options = parser.parse_args()
    if options.read:
        read = json.loads(options.read.read_text())
        print(read["machine"], tables(read["networks"], read["ranks"]), sep="\n\n")
        return
    names = options.only or list(NETWORKS)
    unknown = [name for name in names if name not in NETWORKS]
    if unknown:
        parser.error(f"no network {unknown[0]!r}; there are: {'; '.join(NETWORKS)}")
    try:
        found = measure(names, options)
    except NetworksUnavailableError as error:
        print(f"rank_networks_probe.py: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    print(machine(), tables(found, options.ranks), sep="\n\n")


if __name__ == "__main__":
    main()
