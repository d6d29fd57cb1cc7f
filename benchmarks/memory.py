#!/usr/bin/env python3
"""Measure the memory that training takes beyond the data: xpnet on NumPy, and PyTorch.

Each in a process of its own, which has imported everything and holds the rows before the measuring begins.
Then, whether memory grows with the number of steps. On Linux, which says what a process held at most.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path

from benchmarks.processes import result_of, threads_of
from benchmarks.report import machine, table
from benchmarks.work import LARGE, SMALL, TINY, Work
from xpnet import get_backend

WORKS = {"small": SMALL, "large": LARGE, "tiny": TINY[0]}
OURS = "xpnet on NumPy"
CONTENDERS = {OURS: "xpnet_peers", "PyTorch": "torch_peers", "PyTorch, fused": "torch_peers"}
"""And the module of `peers` they are in: no other library is to be in memory."""
GROWTH = 0.1
"""The share of what training takes, with 1 MB, that ten times the steps may add: pieces that the allocator leaves."""
HEAD = ("beyond the data", "of which for a tiny network", "in all", "more after", "steps")
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("--threads", type=int, default=1, metavar="N", choices=range(1, 65),
                    help="threads of each library (default: 1)")
parser.add_argument("--quick", action="store_true", help="a tenth of the steps")
parser.add_argument("--check", action="store_true", help="only xpnet, with a tiny network")
parser.add_argument("--out", type=Path, metavar="FILE", help="write the table there, too")
parser.add_argument("--measure", nargs=3, metavar=("CONTENDER", "WORK", "STEPS"), help=argparse.SUPPRESS)
parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)


def megabytes(what: str) -> float:
    """Read what Linux says of this process: "VmHWM" is the most it held, "VmRSS" what it holds."""
    for line in STATUS.read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1]) * 1.024e-3
    raise SystemExit(f"{STATUS} does not tell {what}")


def measure(contender: str, work: Work, steps: int, threads: int) -> dict[str, float]:
    """Train in this process; give MB."""
    work.data()
    work.batches(0, 1)
    TINY[0].data()
    contenders = importlib.import_module(f"benchmarks.peers.{CONTENDERS[contender]}").training
    get_backend("numpy" if contender == OURS else "torch").namespace.ones(1).sum()
    CLEAR.write_text("5")  # the most it held is now what it holds
    before = megabytes("VmHWM")
    peak: list[float] = []
    for task, count in ((TINY[0], 10), (work, steps), (work, 9 * steps)):
        if len(peak) < 2:
            peer = contenders(task, threads)[contender]()
        for k in range(count):
            peer.train(peer.place(task.batches(k, 1)))
        peak.append(megabytes("VmHWM"))
    first, most, last = peak
    return {"beyond the data": most - before, "tiny": first - before, "in all": most, "more": last - most}


def main() -> None:
    """Measure, print, and fail if anything grows."""
    options = parser.parse_args()
    if not CLEAR.exists():
        print("memory.py: this wants Linux, which tells what a process held at most", file=sys.stderr)
        raise SystemExit(2)
    if options.measure:
        contender, name, steps = options.measure
        options.result.write_text(json.dumps(measure(contender, WORKS[name], int(steps), options.threads)))
        return
    rows, grown = [], []
    plan = {"tiny": 100} if options.check else {"small": 1000, "large": 50}
    for name, steps in plan.items():
        steps = max(2, steps // 10) if options.quick else steps
        for contender in CONTENDERS:
            if contender != OURS and (options.check or importlib.util.find_spec("torch") is None):
                continue
            found = result_of("memory.py", options.threads,
                              ["--threads", options.threads, "--measure", contender, name, steps])
            rows.append([WORKS[name].name, contender, *(f"{mb:.1f} MB" for mb in found.values()),
                         f"{steps} to {10 * steps}"])
            if contender == OURS and found["more"] > 1 + GROWTH * found["beyond the data"]:
                grown.append(f"{WORKS[name].name}: {found['more']:.1f} MB more after ten times the steps")
    text = table(["", "", *HEAD], rows)
    text = f"{machine()}\n\nMemory at most, {threads_of(options.threads)}:\n\n{text}"
    print(text)
    if options.out:
        options.out.write_text(text + "\n")
    if grown:
        raise SystemExit("; ".join(grown))


if __name__ == "__main__":
    main()
