"""benchmarks/cuda.py goes its ways without a GPU, and says what it did; nothing here looks at a time."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from shell import ROOT, Shell, environment

import benchmarks.cuda
from benchmarks.cuda_report import newest, page, section_text
from benchmarks.cuda_sections.copies import copies_of
from benchmarks.cuda_sections.host_copies import node_kinds
from benchmarks.cuda_sections.plan import SECTIONS, TOTAL, in_order_of_running
from benchmarks.cuda_sections.process import run_apart, scrubbed
from benchmarks.cuda_sections.suite import OF_A_WORKER, TEST

SCRIPT = ROOT / "benchmarks" / "cuda.py"
needs_the_stand_in = pytest.mark.skipif(
    shutil.which("g++") is None or not all(map(importlib.util.find_spec, ("array_api_strict", "nvmath"))),
    reason="a dry run wants g++, array-api-strict and nvmath-python")


def refused(shell: Shell, *arguments: object) -> str:
    """See that it ends in one line, with status 2."""
    done = shell.python(SCRIPT, *arguments)
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("cuda.py: ")
    return done.stderr


@needs_the_stand_in
def test_a_dry_run(shell: Shell) -> None:
    done = shell.python(SCRIPT, "--dry-run", "--only", "curves", "devices", "--out", "results")
    assert done.returncode == 0, done.stdout + done.stderr
    file, = (shell.folder / "results").iterdir()
    assert re.fullmatch(r"cuda-dry-run-\d{4}-\d\d-\d\d\.json", file.name)
    result = json.loads(file.read_text())
    assert result["schema"] == 1
    assert result["dry_run"] is True
    assert result["command"] == "python benchmarks/cuda.py --out DIR --dry-run --only curves devices"
    assert result["date"] in file.name
    assert result["versions"]["numpy"]
    assert list(result["sections"]) == ["curves", "devices"]
    for name, section in result["sections"].items():
        assert section["status"] == "ran"
        assert section["found"]["bars"].keys() == SECTIONS[name].bars.keys()
        assert {bar["met"] for bar in section["found"]["bars"].values()} == {None}
        assert section_text(name, section) in done.stdout
    assert "in the dry run it holds" in done.stdout
    for folder in (ROOT, sys.prefix, Path.home(), shell.folder):
        assert str(folder) + "/" not in file.read_text()
    assert page(result).startswith("# On a GPU\n")
    assert "**Not verified.**" in page(result)


@needs_the_stand_in
def test_an_interrupt_leaves_what_was_measured(shell: Shell) -> None:
    process = subprocess.Popen(
        [sys.executable, SCRIPT, "--dry-run", "--only", "devices", "curves", "memory", "--out", "results"],
        cwd=shell.folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("memory"):
            process.send_signal(signal.SIGINT)
            break
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, output + errors
    assert "Traceback" not in errors
    file, = (shell.folder / "results").iterdir()
    sections = json.loads(file.read_text())["sections"]
    assert {name: section["status"] for name, section in sections.items()} == {
        "curves": "ran", "memory": "interrupted", "devices": "interrupted"}


def test_without_a_gpu(shell: Shell) -> None:
    said = refused(shell, "--out", "results")
    there = importlib.util.find_spec("cupy") is not None
    assert ("finds no CUDA GPU" if there else "not installed") in said
    assert "--dry-run" in said
    assert not (shell.folder / "results").exists()


def test_what_it_does_not_know(shell: Shell) -> None:
    assert "'smal'" in refused(shell, "--dry-run", "--only", "smal")
    assert "--fast" in refused(shell, "--fast")


def test_what_is_missing_is_named_with_its_wheel(shell: Shell) -> None:
    program = shell.folder / "without.py"
    program.write_text(f"""
import importlib.util, runpy, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "array_api_compat" else find(name, *rest)
sys.argv = [{str(SCRIPT)!r}, "--only", "small"]
runpy.run_path(sys.argv[0], run_name="__main__")
""")
    done = shell.python(program)
    assert done.returncode == 2
    assert done.stderr == ("cuda.py: array-api-compat is not installed: pip install array-api-compat, or from a folder "
                           "of wheels: pip install --no-index --find-links wheels array-api-compat\n")


def test_what_is_wrong_is_a_fault_and_what_is_slow_is_none() -> None:
    def ran(**bars: bool | None) -> dict[str, Any]:
        return {"status": "ran", "found": {"bars": {name: {"met": met} for name, met in bars.items()}}}

    sections = {"small": ran(same=True, eager=False, graph=None), "devices": ran(second=None)}
    assert benchmarks.cuda.faults(sections) == []
    sections |= {"memory": ran(steady=False, words=True), "large": {"status": "over its limit", "found": {}}}
    assert benchmarks.cuda.faults(sections) == [
        "cuda.py: not to the end: large", "cuda.py: wrong: memory: as much after the fifth epoch as after the first"]


def test_tests_are_counted_one_by_one_and_in_several_processes() -> None:
    for line in ("tests/test_a.py::test_b[c d] PASSED [ 12%]", "[gw1] [ 12%] PASSED tests/test_a.py::test_b[c d] "):
        found = TEST.match(line) or OF_A_WORKER.match(line)
        assert found is not None
        assert (found["test"], found["outcome"], found["done"]) == ("tests/test_a.py::test_b[c d]", "PASSED", "12")


def test_a_section_that_fails_or_hangs_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    failed = run_apart("gradient_check", False, 60)  # which wants a GPU
    assert failed["status"] == "failed"
    assert failed["why"].startswith(("BackendError: ", "ModuleNotFoundError: "))
    assert failed["output"]
    assert str(ROOT) not in json.dumps(failed)
    hangs = run_apart("gradient_check", False, 0.05)
    assert (hangs["status"], hangs["found"]) == ("over its limit", {})
    text = section_text("gradient_check", hangs)
    assert "**Not to the end (over its limit):** ended after 0 s." in text
    assert "- under 0.5 s: not measured" in text


@pytest.mark.parametrize(("culprit", "tries"), [("JAX, value_and_grad in jit", 2), ("xpnet on CuPy", 1)])
def test_who_takes_the_process_with_him_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], culprit: str, tries: int,
) -> None:
    asked: list[str] = []

    def run(name: str, dry: bool, limit: float, without: str = "") -> dict[str, Any]:
        asked.append(without)
        crashed = {"status": "failed", "why": "ended by SIGSEGV", "found": {"stage": f"making {culprit}"}}
        return {"status": "ran", "found": {}} if without else crashed

    monkeypatch.setattr(benchmarks.cuda, "run_apart", run)
    sections: dict[str, Any] = {}
    benchmarks.cuda.measure("small", False, sections, time.monotonic())
    assert asked == ["", culprit][:tries]
    assert sections["small"]["status"] == ("ran" if tries == 2 else "failed")
    assert f"small, without {culprit}\n" in capsys.readouterr().err or tries == 1


def test_all_is_over_in_time() -> None:
    assert sum(section.limit for section in SECTIONS.values()) == TOTAL <= 8 * 60 - 10
    assert in_order_of_running(list(SECTIONS))[-1] == "suite"  # which takes what is left


def test_folders_are_nobodys_concern() -> None:
    said = 'File "/opt/some one/x.py" and /usr/lib/python3/site-packages/cupy/core.pyx: 3/4 of tests/a.py'
    assert "/usr" not in scrubbed(said)
    assert "…/core.pyx: 3/4 of tests/a.py" in scrubbed(said)


def real_run() -> dict[str, Any]:
    """Make up what a run on a GPU leaves: one bar met, one missed, one not measured; a section that crashed."""
    small = {"status": "ran", "seconds": 9.0, "found": {
        "tables": [{"head": ["", "a step"], "rows": [["xpnet on CuPy", "12 µs"]]}],
        "notes": ["Left out: JAX: JAX 0.11 sees no GPU."], "figures": {},
        "bars": {"same": {"met": True, "said": "1e-7 off"}, "eager": {"met": True, "said": "0.20 times its time"},
                 "graph": {"met": False, "said": "1.07 times its time"},
                 "jit": {"met": None, "said": "JAX: JAX 0.11 sees no GPU"}}}}
    large = {"status": "failed", "seconds": 3.0, "why": "ended by SIGSEGV, at: making JAX", "output": [], "found": {}}
    return {"schema": 1, "date": "2027-01-02", "dry_run": False, "command": "python benchmarks/cuda.py --out DIR",
            "commit": "0123456789abcdef", "seconds": 321.0, "versions": {"Python": "3.12.0", "triton": "not installed"},
            "device": {"name": "NVIDIA H100", "memory": 80 * 2**30, "count": 1, "driver": "CUDA 13.0",
                       "runtime": "CUDA 13.0", "compute capability": "9.0", "CuPy": "14.2.0"},
            "sections": {"small": small, "large": large}}


def test_the_page_of_a_run_on_a_gpu() -> None:
    text = page(real_run())
    assert "Not verified" not in text
    assert "Measured on 2027-01-02, commit 0123456789ab, on NVIDIA H100 (80 GiB;" in text
    bars = sum(len(section.bars) for section in SECTIONS.values())
    assert f"2 met, 1 missed, {bars - 3} not measured." in re.sub(r"\s+", " ", text)
    assert "- at least 4 times as fast as PyTorch: met; 0.20 times its time" in text
    assert "- no slower than PyTorch under torch.cuda.CUDAGraph: **MISSED**; 1.07 times its time" in text
    assert "- no slower than JAX, value_and_grad in jit: not measured; JAX: JAX 0.11 sees no GPU" in text
    assert "| xpnet on CuPy | 12 µs  |" in text
    assert "**Not to the end (failed):** ended by SIGSEGV, at: making JAX." in text
    assert "Python 3.12.0, CuPy 14.2.0; without triton." in re.sub(r"\s+", " ", text)
    assert "**unverified**, as there was one GPU" in text


def test_the_newest_run_on_a_gpu_comes_before_any_dry_run(tmp_path: Path) -> None:
    def write(name: str, sections: dict[str, dict[str, str]]) -> None:
        (tmp_path / f"{name}.json").write_text(json.dumps({"sections": sections}))

    whole = {name: {"status": "ran"} for name in SECTIONS} | {"large": {"status": "over its limit"}}
    assert newest(tmp_path) is None
    for name in ("cuda-dry-run-2027-03-01", "cuda-dry-run-2027-03-01-2", "cuda-dry-run-2027-03-01-10"):
        write(name, whole)
    assert newest(tmp_path) == tmp_path / "cuda-dry-run-2027-03-01-10.json"
    for name in ("cuda-2027-02-01-2", "cuda-2027-01-31", "cuda-2027-02-01", "cuda-other"):
        write(name, whole)
    write("cuda-2027-02-01-3", {"small": {"status": "ran"}})  # as with --only
    write("cuda-2027-02-02", whole | {"suite": {"status": "interrupted"}})
    assert newest(tmp_path) == tmp_path / "cuda-2027-02-01-2.json"


def test_the_guide_is_rendered_from_the_newest_result() -> None:
    file = newest(ROOT / "docs" / "gpu")
    assert file is not None
    result = json.loads(file.read_text())
    assert (ROOT / "docs" / "gpu.md").read_text() == page(result), "run python benchmarks/cuda_report.py"
    assert result["sections"].keys() == SECTIONS.keys()


def test_nodes_of_a_graph_are_counted_by_kind() -> None:
    kernel = ('"graph_1_node_{}"[style="bold" shape="record" label="{{KERNEL\n| {{ID | {} (topoId: 3) | '
              'some_MEMCPY_like\\<\\<\\<1,128,0\\>\\>\\>}}\n}}"];\n')
    copy = ('"graph_1_node_{}"[style="solid" shape="record" label="{{\nMEMCPY\n| {{{{ID | node handle}} | {{2 | 0x00}}}}'
            '\n| {{kind | {} (DEVICE to HOST PAGEABLE)}}\n}}"];\n')
    dot = ('digraph dot {\nsubgraph cluster_1 {\nlabel="graph_1" graph[style="dashed"];\n' + kernel.format(0, 0)
           + kernel.format(1, 1) + copy.format(2, "DtoH") + copy.format(3, "DtoD")
           + '"graph_1_node_4"[shape="record" label="{NEW | x}"];\n'
           '"graph_1_node_0" -> "graph_1_node_1" [headlabel=0];\n}\n}\n')
    assert node_kinds(dot) == {"KERNEL": 2, "MEMCPY DtoH": 1, "MEMCPY DtoD": 1, "unknown": 1}


def test_copies_of_a_trace_are_counted() -> None:
    def event(cat: str, name: str, size: int = 0) -> dict[str, Any]:
        return {"ph": "X", "cat": cat, "name": name, "args": {"bytes": size} if size else {}}

    assert copies_of([event("cpu_op", "aten::add"), {"ph": "M", "name": "process_name"}]) is None
    found = copies_of([
        event("kernel", "affine"), event("gpu_memcpy", "Memcpy DtoH (Device -> Pageable)", 4),
        event("gpu_memcpy", "Memcpy DtoH (Device -> Pinned)", 2400),
        event("gpu_memcpy", "Memcpy HtoD (Pageable -> Device)", 480_000),
        event("gpu_memcpy", "Memcpy DtoD (Device -> Device)", 8)])
    assert found is not None
    assert (found.to_host, found.bytes_to_host, found.to_device) == (2, 2404, 1)
