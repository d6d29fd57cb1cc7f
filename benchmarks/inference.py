#!/usr/bin/env python3
"""Time predictions: 10,000 rows through two networks, and one row through the small one.

Everybody who is installed has the same weights, and must give the same scores before anything is timed. What
goes in and what comes out are NumPy's arrays. Rounds are interleaved; see README.md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.contenders import all_of
from benchmarks.peers.floor import FLOOR
from benchmarks.processes import compare, options_of, threads_of
from benchmarks.report import Times, compared, interleaved
from benchmarks.work import LARGE, SMALL, TINY, Array, Work

Predictors = dict[str, Callable[[Array], Array]]



def agree(work: Work, predictors: Predictors, x: Array) -> float:
    """See that all give the same scores, and scikit-learn their log-softmax; give the largest difference."""
    reference = predictors["xpnet on NumPy"](x).copy()
    worst = 0.0
    for name, predict in predictors.items():
        found, wanted = predict(x), reference
        if name == "scikit-learn":
            wanted = reference - np.log(np.exp(reference).sum(axis=1, keepdims=True))
        off = 0.0 if name == FLOOR else float(np.max(np.abs(found - wanted)))
        if not off <= 1e-4:
            raise SystemExit(f"{work.name}, {len(x)} rows: the scores of {name} are {off:.1e} off")
        worst = max(worst, off)
    return worst


def timed(predictors: Predictors, x: Array, rounds: int, calls: int) -> Times:
    """Time a call of each, on average over some calls, with one before it that is not timed."""
    def task(predict: Callable[[Array], Array]) -> Any:
        def run() -> None:
            for _ in range(calls):
                predict(x)

        def prepare(k: int) -> Any:
            for _ in range(max(1, calls // 10)):
                predict(x)
            return run
        return prepare

    times = interleaved({name: task(predict) for name, predict in predictors.items()}, rounds)
    return {name: [seconds / calls for seconds in each] for name, each in times.items()}


def cases(quick: bool) -> list[tuple[str, Work, int, int, int]]:
    """Give a title, the network, rows, rounds, and calls in a round."""
    return [("784-50-10, 10,000 rows", SMALL, 10_000, 7 if quick else 31, 3),
            ("784-1024-1024-10, 10,000 rows", LARGE, 10_000, 3 if quick else 9, 1),
            ("784-50-10, one row", SMALL, 1, 15 if quick else 51, 300)]


def run(threads: int, quick: bool) -> dict[str, Any]:
    """Compare and time everybody in this process."""
    found: dict[str, Any] = {"times": {}}
    for title, work, rows, rounds, calls in cases(quick):
        predictors, found["missing"] = all_of("predictor", work, rows, threads)
        x = work.data()[0][:rows]
        worst = agree(work, predictors, x)
        print(f"{threads_of(threads)}: {title}: the scores agree to {worst:.1e}", file=sys.stderr)
        found["times"][title] = timed(predictors, x, rounds, calls)
    return found


def main() -> None:
    """Compare, measure, print."""
    options = options_of(str(__doc__), quick="fewer rounds: a minute").parse_args()
    if options.check:
        for work in TINY:
            for rows in (1, 50):
                predictors, missing = all_of("predictor", work, rows, 1)
                worst = agree(work, predictors, work.data()[0][:rows])
                print(f"{work.name}, {rows} rows: the scores agree to {worst:.1e}: {', '.join(predictors)}")
        print(f"left out: {'; '.join(missing) or 'nobody'}")
        return
    compare("inference.py", options, run,
            lambda found: [("Times the floor", compared(found["times"], FLOOR))])


if __name__ == "__main__":
    main()
