#!/usr/bin/env python3
"""Time training steps of small networks: xpnet, its peers, and the products that nobody can do without.

Everybody who is installed trains from the same weights on the same batches, gathered from the same rows.
Before anything is timed, all must have the same losses. Rounds are interleaved; see README.md.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks.contenders import agree, made
from benchmarks.peers.floor import FLOOR
from benchmarks.peers.peer import Peer
from benchmarks.processes import compare, options_of, threads_of
from benchmarks.report import Times, compared, interleaved, quartiles, ratios, table, unit_of
from benchmarks.work import LARGE, SMALL, TINY, Work

COMPILED = "PyTorch, torch.compile"  # takes half a minute to be so
QUICK = "fewer rounds, growth on one thread alone, and no torch.compile: two minutes at most"
MAIN = (FLOOR, "xpnet on NumPy", "PyTorch, fused", "JAX, value_and_grad in jit", "scikit-learn")
"""Those whose growth is looked at."""
GROWTH: dict[str, dict[str, tuple[tuple[int, ...], int]]] = {
    "batch, 784-50-10": {str(n): ((784, 50, 10), n) for n in (10, 100, 1000)},
    "neurons of the hidden layer, batch 100": {str(n): ((784, n, 10), 100) for n in (50, 200, 800)},
    "hidden layers of 100, batch 100": {str(n): ((784, *[100] * n, 10), 100) for n in (1, 4, 16)},
}



def timed(work: Work, peers: dict[str, Peer], rounds: int) -> Times:
    """Time a step of each, on average over a block of steps; a few before it are not timed."""
    def task(peer: Peer) -> Any:
        def prepare(k: int) -> Any:
            batches = work.batches(k * work.steps, work.steps)
            warm, block = peer.place(batches[:max(1, work.steps // 10)]), peer.place(batches)
            peer.train(warm)  # after another library, whose threads may still be waiting for more to do
            return lambda: peer.train(block)
        return prepare

    tasks = {name: task(peer) for name, peer in peers.items()}
    for prepare in tasks.values():  # what is compiled is so for a number of steps
        prepare(0)()
    return {name: [seconds / work.steps for seconds in each]
            for name, each in interleaved(tasks, rounds).items()}


def run(threads: int, quick: bool) -> dict[str, Any]:
    """Compare and time everybody in this process."""
    def say(what: str) -> None:
        print(f"{threads_of(threads)}: {what}", file=sys.stderr)

    found: dict[str, Any] = {"work": {}, "growth": {}}
    plan = ((SMALL, 9, 20), (LARGE, 3, 6)) if quick else ((SMALL, 31, 20), (LARGE, 11, 20))
    for work, rounds, steps in plan:
        peers, found["missing"] = made(work, threads, leave_out=[COMPILED] if quick else [])
        say(f"{work.name}: {len(peers)} contenders")
        worst = agree(work, peers, steps)
        say(f"the losses of {steps} steps agree to {worst:.1e}")
        found["work"][work.name] = timed(work, peers, rounds)
    for title, cases in (GROWTH if threads == 1 or not quick else {}).items():
        say(f"growth with {title}")
        found["growth"][title] = {}
        for case, (sizes, batch) in cases.items():
            weights = sum(D * M for D, M in itertools.pairwise(sizes))
            work = Work(sizes, batch, "SGD", steps=min(100, max(3, int(2e8 / (batch * weights)))))
            peers, _ = made(work, threads, only=MAIN)
            found["growth"][title][case] = timed(work, peers, 3 if quick else 9)
    return found


def growth(title: str, cases: dict[str, Times]) -> str:
    """Give a table of how the cost grows: the floor's time, and the others' ratios to it."""
    rows = [[name, *(f"{ratios(times, FLOOR)[name][1]:.2f}" for times in cases.values())]
            for name in next(iter(cases.values()))]
    rows[0] = [FLOOR, *(unit_of(quartiles(times[FLOOR])[1]) for times in cases.values())]
    return table([title, *cases], rows)


def tables_of(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Give titles and tables."""
    yield "Times the floor", compared(found["work"], FLOOR)
    for title, cases in found["growth"].items():
        yield "Times the floor, SGD", growth(title, cases)


def main() -> None:
    """Compare, measure, print."""
    options = options_of(str(__doc__), quick=QUICK).parse_args()
    if options.check:
        for work in TINY:
            peers, missing = made(work, 1, leave_out=[COMPILED])
            worst = agree(work, peers, 20)
            print(f"{work.name}: the losses of 20 steps agree to {worst:.1e}: {', '.join(peers)}")
        print(f"left out: {'; '.join(missing) or 'nobody'}")
        return
    compare("training.py", options, run, tables_of)


if __name__ == "__main__":
    main()
