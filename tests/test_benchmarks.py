"""The benchmarks compare like with like; nothing here looks at a time."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from shell import ROOT, Shell

BENCHMARKS = ROOT / "benchmarks"
LIBRARIES = {"PyTorch": "torch", "JAX": "jax", "scikit-learn": "sklearn", "Thinc": "thinc", "DeZero": "dezero"}


@pytest.fixture(autouse=True)
def in_no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let JAX compile quickly what is not timed."""
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")


def checked(shell: Shell, script: str) -> list[str]:
    """Run a script's check, and give its lines; the last one says who is left out."""
    done = shell.python(BENCHMARKS / script, "--check")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_all_train_the_same(shell: Shell) -> None:
    *works, left_out = checked(shell, "training.py")
    assert len(works) == 2
    for line in works:
        found = re.fullmatch(r"train .*, (SGD|Adam): the losses of 20 steps agree to (\S+): (.*)", line)
        assert found is not None, line
        assert float(found[2]) <= 1e-4
        for name in ("floor", "xpnet on NumPy", "xpnet on NumPy, plain layers"):
            assert name in found[3]
        for library, module in LIBRARIES.items():
            there = importlib.util.find_spec(module) is not None
            assert (library in found[3]) == there
            assert (library in left_out) != there


def test_all_predict_the_same(shell: Shell) -> None:
    *works, _ = checked(shell, "inference.py")
    assert len(works) == 4
    for line in works:
        found = re.search(r"the scores agree to (\S+): (.*)", line)
        assert found is not None, line
        assert float(found[1]) <= 1e-4
        assert "xpnet on NumPy" in found[2]
        assert ("PyTorch" in found[2]) == (importlib.util.find_spec("torch") is not None)


def test_who_computes_something_else_is_found(shell: Shell) -> None:
    program = shell.folder / "other.py"
    program.write_text("""
from dataclasses import replace
from benchmarks.contenders import agree
from benchmarks.peers.xpnet_peers import Xpnet
from benchmarks.work import TINY
right, wrong = Xpnet(TINY[0], "numpy"), Xpnet(replace(TINY[0], lr=0.11), "numpy")
agree(TINY[0], {"xpnet on NumPy": right, "another": wrong}, 20)
""")
    done = shell.python(program)
    assert done.returncode == 1
    assert "the losses of another are" in done.stderr


def test_all_exports_compute_the_same(shell: Shell) -> None:
    for module in ("torch", "onnxscript", "ndonnx", "onnxruntime"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    *works, last = checked(shell, "onnx_export.py")
    assert len(works) == 7
    for line in [*works, last]:
        found = re.search(r"the scores agree to (\S+): PyTorch's export, .*, xpnet, ", line)
        assert found is not None, line
        assert float(found[1]) <= 2e-6


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="wants Linux")
def test_no_memory_grows_with_the_steps(shell: Shell) -> None:
    done = shell.python(BENCHMARKS / "memory.py", "--check")
    assert done.returncode == 0, done.stderr
    assert "xpnet on NumPy" in done.stdout


def test_instructions_want_valgrind(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(shell.folder))
    done = shell.python(BENCHMARKS / "instructions.py")
    assert done.returncode == 2
    assert done.stderr == "instructions.py: this wants valgrind (apt-get install valgrind)\n"
