"""`pytest -m cuda`, as one would call it."""

from __future__ import annotations

import collections
import importlib.util
import re
import subprocess
import sys
import time

from benchmarks.cuda_sections.found import Found
from benchmarks.cuda_sections.process import ROOT, scrubbed

__all__ = ["run"]

OUTCOMES = ("PASSED", "FAILED", "ERROR", "SKIPPED", "XFAIL", "XPASS")
_OUTCOME = f"(?P<outcome>{'|'.join(OUTCOMES)})"
TEST = re.compile(rf"(?P<test>tests/.+?) {_OUTCOME}\b.*?(?:\[ *(?P<done>\d+)%\])?$")
OF_A_WORKER = re.compile(rf"\[gw\d+\] \[ *(?P<done>\d+)%\] {_OUTCOME} (?P<test>tests/.+?) *$")
WORKERS = 4
"""Processes that test at once, where pytest-xdist is installed: kernels are compiled by the host's processors."""
SHOWN = 20
"""Failures that are named."""
SLOW = ("tests/test_same_everywhere.py", "tests/test_testing_false_alarms.py")
"""What is left out of a dry run, where it takes a minute."""


def run(found: Found) -> None:
    """Run the tests, and count as they come: what is found is there, too, when the time is over."""
    options = ["-m", "cuda", "-v", "-p", "no:cacheprovider"]
    if found.dry:
        options += ["-p", "benchmarks.cuda_on_cpu.plugin", *(f"--ignore={file}" for file in SLOW)]
    else:  # the libraries there may be newer: what they announce for later is about no GPU
        options += ["-W", "default::DeprecationWarning", "-W", "default::FutureWarning"]
    if importlib.util.find_spec("xdist") is not None:
        options += ["-n", str(2 if found.dry else WORKERS)]
    # Of this process's group, with which it ends.
    process = subprocess.Popen([sys.executable, "-m", "pytest", *options], cwd=ROOT, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace")
    counts: collections.Counter[str] = collections.Counter()
    failures: list[str] = []
    done, selected, saved = "0", "", 0.0
    last: collections.deque[str] = collections.deque(maxlen=60)
    assert process.stdout is not None
    for line in map(str.rstrip, process.stdout):
        last.append(line)
        if matched := re.search(r"collected \d.*|\d+ workers .*", line):
            selected = matched[0]
        if (matched := TEST.match(line) or OF_A_WORKER.match(line)) is not None:
            outcome = matched["outcome"]
            counts[outcome] += 1
            done = matched["done"] or done
            if outcome in ("FAILED", "ERROR", "XPASS"):
                failures.append(matched["test"])
        elif (matched := re.match(r"(?:FAILED|ERROR) (tests/.+)", line)) is not None:  # the summary, with reasons
            found.figures.setdefault("reasons", []).append(scrubbed(matched[1])[:300])
        if time.monotonic() - saved > 1:
            _keep(found, counts, failures, selected)
            found.stage(f"{done}% of the tests, {_said(counts)}")
            saved = time.monotonic()
    code = process.wait()
    _keep(found, counts, failures, selected)
    for name in found.figures.get("reasons", failures)[:SHOWN]:
        found.note(f"Failed: {name}")
    if not counts or code not in (0, 1):
        print("\n".join(last))
        raise SystemExit(f"pytest ended with status {code} after {_said(counts)}")
    found.table(["passed", "failed", "skipped", "expected to fail"], [[
        str(counts["PASSED"]), str(len(failures)), str(counts["SKIPPED"]), str(counts["XFAIL"])]])
    found.bar("passes", code == 0 and not failures and counts["PASSED"] > 0, _said(counts))


def _said(counts: collections.Counter[str]) -> str:
    return ", ".join(f"{counts[outcome]} {outcome.lower()}" for outcome in OUTCOMES if counts[outcome]) or "none"


def _keep(found: Found, counts: collections.Counter[str], failures: list[str], selected: str) -> None:
    found.figures |= {"counts": dict(counts), "failures": failures[:200], "selected": selected}
