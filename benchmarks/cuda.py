#!/usr/bin/env python3
"""Measure xpnet on a CUDA GPU: right first, then fast, beside PyTorch and JAX where these are installed.

One command, under eight minutes, nothing from a network: it prints tables and bars, and with --out leaves
them as one JSON, of which cuda_report.py makes docs/gpu.md. With --dry-run it goes the same ways without a
GPU, on a stand-in for CuPy on the CPU.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

HERE = Path(__file__).resolve().parent
# xpnet need not be installed. And this file's folder must not be looked in: `import cuda`, as CuPy does, is
# not for this file.
sys.path[:] = [str(HERE.parent), str(HERE.parent / "backends"), *(
    folder for folder in sys.path if Path(folder).resolve() != HERE)]

from benchmarks.cuda_report import section_text
from benchmarks.cuda_sections.found import MAKING, Found
from benchmarks.cuda_sections.machine import commit, lacking, probe, versions
from benchmarks.cuda_sections.plan import DRY_LIMIT, SECTIONS, TOTAL, in_order_of_running
from benchmarks.cuda_sections.process import run_apart

SCHEMA = 1
"""Of the JSON; another number for another meaning of what is in it."""
PROBE, PROBE_LIMIT = "probe", 60


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:  # noqa: D102
        refuse(message)


def refuse(message: str) -> NoReturn:
    """End in one line."""
    print(f"cuda.py: {message}", file=sys.stderr)
    raise SystemExit(2)


def parsed() -> argparse.Namespace:
    """Read the options."""
    parser = Parser(description=str(__doc__).partition("\n")[0], prog="cuda.py")
    parser.add_argument("--out", type=Path, metavar="DIR", help="leave what was measured there, as JSON")
    parser.add_argument("--dry-run", action="store_true", help="on the CPU, tiny: to see that every way can be gone")
    parser.add_argument("--only", nargs="+", metavar="SECTION", choices=list(SECTIONS), default=list(SECTIONS),
                        help=f"only some of: {', '.join(SECTIONS)}")
    parser.add_argument("--section", choices=[PROBE, *SECTIONS], help=argparse.SUPPRESS)  # of a process for it
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--without", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def run_section(name: str, file: Path, dry: bool, without: str) -> None:
    """Measure in this process."""
    if dry:
        importlib.import_module("benchmarks.cuda_on_cpu").install()
    if name == PROBE:
        try:
            found: dict[str, Any] = {"device": probe(), "versions": versions()}
        except (ImportError, ValueError) as error:  # no CuPy, no GPU
            found = {"refused": str(error)}
        file.write_text(json.dumps(found))
        return
    module = importlib.import_module(f"benchmarks.cuda_sections.{name}")
    module.run(Found(SECTIONS[name], file, dry, without))


def header(names: list[str], dry: bool) -> dict[str, Any]:
    """Give what the JSON says before anything is measured; refuse where that cannot be."""
    if problem := lacking(names, dry):
        refuse(problem)
    looked = run_apart(PROBE, dry, PROBE_LIMIT)
    if "refused" in looked["found"]:
        refuse(f"{looked['found']['refused']}; --dry-run goes without")
    if looked["status"] == "interrupted":
        raise SystemExit(130)
    if looked["status"] != "ran":
        refuse(f"the GPU cannot be looked at: {looked['why']}")
    command = ["python", "benchmarks/cuda.py", "--out DIR", *["--dry-run"] * dry]
    if names != list(SECTIONS):
        command += ["--only", *names]
    return {"schema": SCHEMA, "date": str(datetime.date.today()), "dry_run": dry, "command": " ".join(command),
            "commit": commit(), **looked["found"]}


def measured(names: list[str], dry: bool, result: dict[str, Any], file: Path | None, start: float) -> None:
    """Run section after section, print each, and write the JSON anew after each.

    Parameters
    ----------
    names : list of str
        The sections.
    dry : bool
        Whether on the CPU.
    result : dict
        What the JSON says already; takes the rest.
    file : Path, optional
        The JSON.
    start : float
        When all began, by `time.monotonic`.
    """
    sections = result["sections"] = {
        name: {"status": "not run", "why": "the time was over", "seconds": 0.0, "found": {}} for name in names}
    for name in in_order_of_running(names):
        try:
            measure(name, dry, sections, start)
        except KeyboardInterrupt:  # between two sections
            sections[name] |= {"status": "interrupted", "why": "interrupted"}
        interrupted = sections[name]["status"] == "interrupted"
        for other in sections.values() if interrupted else ():
            if other["status"] == "not run":
                other |= {"status": "interrupted", "why": "interrupted"}
        result["seconds"] = round(time.monotonic() - start, 1)
        if file is not None:
            there = file.with_suffix(".part")
            there.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
            there.replace(file)
        if interrupted:
            if file is not None:
                print(file)
            raise SystemExit(130)


def measure(name: str, dry: bool, sections: dict[str, Any], start: float) -> None:
    """Run a section in the time that is left, and print it."""
    left = TOTAL - (time.monotonic() - start)
    limit = DRY_LIMIT if dry else left - sum(
        SECTIONS[other].limit for other, section in sections.items()
        if other != name and section["status"] == "not run")  # what those before left over, too
    if limit < 1:
        return
    print(f"{name} (at most {limit:.0f} s)", file=sys.stderr, flush=True)
    sections[name] = run_apart(name, dry, limit)
    culprit, left = ended_by(sections[name]), TOTAL - (time.monotonic() - start)
    if culprit and left > 1:
        print(f"{name}, without {culprit}", file=sys.stderr, flush=True)
        sections[name] = run_apart(name, dry, min(limit, left), without=culprit)
    print(section_text(name, sections[name]) + "\n", flush=True)


def ended_by(section: dict[str, Any]) -> str:
    """Name the contender whose making ended a section, which is then worth a try without it."""
    stage = section["found"].get("stage", "") if section["status"] in ("failed", "over its limit") else ""
    name = stage.removeprefix(MAKING)
    return name if name != stage and not name.startswith("xpnet") else ""


def faults(sections: dict[str, Any]) -> list[str]:
    """Say what did not run to its end, and what is computed wrongly; to be slow is no fault."""
    failed = [name for name, section in sections.items() if section["status"] != "ran"]
    wrong = [f"{name}: {SECTIONS[name].bars[bar].what}" for name, section in sections.items()
             for bar, held in section["found"].get("bars", {}).items()
             if SECTIONS[name].bars[bar].correct and held["met"] is False]
    return [f"cuda.py: {what}: {', '.join(names)}"
            for what, names in (("not to the end", failed), ("wrong", wrong)) if names]


def free_name(folder: Path, dry: bool) -> Path:
    """Give a file for what will be measured; those of the same day stay."""
    stem = f"cuda-{'dry-run-' * dry}{datetime.date.today()}"
    names = (f"{stem}{f'-{k}' if k > 1 else ''}.json" for k in range(1, 1000))
    return next(folder / name for name in names if not (folder / name).exists())


def interrupt(number: int, frame: FrameType | None) -> None:
    """Treat being ended as Ctrl-C: what was measured is written."""
    raise KeyboardInterrupt


def main() -> None:
    """Measure, print, write; tell by the status whether all sections ran."""
    options = parsed()
    if options.section:
        run_section(options.section, options.result, options.dry_run, options.without)
        return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the first is ignored where a shell sent us behind
        signal.signal(number, interrupt)
    names, start = [name for name in SECTIONS if name in options.only], time.monotonic()
    try:
        result = header(names, options.dry_run)
        file = None
        if options.out is not None:
            try:
                options.out.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                refuse(f"{options.out}: {error.strerror}")
            file = free_name(options.out, options.dry_run)
            try:
                file.touch()
                file.unlink()
            except OSError as error:
                refuse(f"{options.out}: {error.strerror}")
        measured(names, options.dry_run, result, file, start)
    except KeyboardInterrupt:  # between two sections
        raise SystemExit(130) from None
    if file is not None:
        print(file)
    complaints = faults(result["sections"])
    print(*complaints, sep="\n", end="\n" * bool(complaints), file=sys.stderr)
    raise SystemExit(1 if complaints else 0)


if __name__ == "__main__":
    main()
