"""What the guides show is what comes."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import on_ranks
import pytest
from shell import ROOT, Shell
from variants import installed


def blocks(language: str, guide: str = "gradient_checks.md") -> list[str]:
    """Give a guide's blocks of code in a language, "" for what is printed."""
    text = (ROOT / "docs" / guide).read_text()
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [text for name, text in found if name == language]


def words(report: str) -> list[list[str]]:
    """Give a report's lines, without the numbers that rounding decides."""
    return [re.sub(r"-?\d\S*", "#", line).split() for line in report.splitlines()]


def test_the_planted_bug_of_the_guide(shell: Shell) -> None:
    program = Path(shell.folder / "guide.py")
    program.write_text(blocks("python")[0])
    done = shell.python(program)
    assert done.returncode == 0, done.stderr
    assert words(done.stdout) == words(blocks("")[0])
    assert "beta: a factor of 1/4, 4 being the length of axis 0 of x" in done.stdout


def test_the_whole_layer_of_the_guide(shell: Shell) -> None:
    program = Path(shell.folder / "guide.py")
    program.write_text(blocks("python")[0].replace("dout.mean(axis=0)", "dout.sum(axis=0)") + """
from xpnet.testing import check_layer
x = rng.standard_normal((4, 6))
assert check_gradients(layer, x)
report = check_layer(layer, x, skip=["jax jit", "array-api-strict", "torch meta"])
print(report)
assert report
""")
    done = shell.python(program)
    assert done.returncode == 0, done.stderr
    passed = [line for line in blocks("")[1].splitlines() if line.startswith("passed")]
    assert len(passed) == 13
    assert [line.split() for line in done.stdout.splitlines() if line.startswith("passed")] == [
        line.split() for line in passed]


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_the_guide_to_adapters(shell: Shell, library: str) -> None:
    if not installed(library):
        pytest.skip(f"{library} is not installed")
    text = "\n".join(blocks("python", "adapters.md"))
    of_torch, of_jax = text.split("import jax\n")
    program = Path(shell.folder / "guide.py")
    program.write_text({"torch": of_torch, "jax": f"import jax\n{of_jax}"}[library])
    done = shell.python(program)
    assert done.returncode == 0, done.stderr
    shown = blocks("", "adapters.md")
    assert len(shown) == 2
    assert done.stdout == shown[library == "jax"]


def test_the_guide_to_training(shell: Shell) -> None:
    program = Path(shell.folder / "guide.py")
    text = "\n".join(blocks("python", "training.md"))
    # The same program, but for a file that is smaller, on whatever there is, and fewer epochs.
    for said, here in (("10_000_000", "1000"), ("network_on_a_gpu", "network"),
                       ("epochs=20", "epochs=2")):
        assert said in text
        text = text.replace(said, here)
    text = text.replace("x = np.memmap", """
np.zeros((1000, 784), np.float32).tofile("images.f32")
labels, t = t, t[:1000]
x_of_digits, x = x, np.memmap""").replace("seeds = [0", "x, t = x_of_digits, labels\nseeds = [0")
    program.write_text(text + "\nprint(mean.shape, spread.max(), type(best).__name__)\n")
    done = shell.python(program)
    assert done.returncode == 0, done.stderr
    best, accuracy, measured, *_, shapes = done.stdout.splitlines()
    assert re.fullmatch(r"[12] \[0\.\d+, 0\.\d+\]", best)
    assert 0.5 < float(accuracy) < 1
    assert re.fullmatch(r"\{'loss': \d\.\S+, 'r2_score': -?\d\S+\}", measured)
    assert re.fullmatch(r"\(1000, 10\) 0\.\d+ TwoLayerNet", shapes)
    assert re.search(r"Scale: (18 passed|1\d passed, \d skipped)", done.stdout)  # by what is installed
    assert (shell.folder / "runs" / "first" / "history.csv").exists()


def test_the_guide_to_onnx(shell: Shell) -> None:
    for module in ("ndonnx", "onnxruntime"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    network, pipeline = blocks("python", "onnx.md")
    program = Path(shell.folder / "guide.py")
    # Estimators are of another part of the package, and of scikit-learn.
    there = all(map(importlib.util.find_spec, ("sklearn", "xpnet.sklearn")))
    program.write_text(network + (pipeline if there else ""))
    done = shell.python(program)
    assert done.returncode == 0, done.stderr
    accuracy, about = done.stdout.splitlines()
    found = re.fullmatch(r"(0\.\d+) \(1000, 10\)", accuracy)
    assert found is not None
    assert float(found[1]) > 0.85
    assert about == ("TwoLayerNet {'name': 'Affine1', 'class': 'Affine', 'arrays': {'W1': [784, 50], 'b1': [50]}} "
                     "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]")


def test_the_guide_to_scikit_learn(shell: Shell) -> None:
    for module in ("sklearn", "torch"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    digits, tensors, stopping, _ = blocks("python", "sklearn.md")
    program = Path(shell.folder / "guide.py")
    program.write_text(digits + stopping + "print(mlp.score(X_test, y_test))\n")
    done = shell.python(program)
    assert done.returncode == 0, done.stderr
    assert all(float(line) > 0.9 for line in done.stdout.splitlines())
    program.write_text(tensors)
    done = shell.python(program)
    assert (done.stdout, done.returncode) == ("cpu torch.float32\n", 0), done.stderr


def test_the_guide_to_a_cluster(shell: Shell) -> None:
    for module in ("sklearn", "distributed"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    program = Path(shell.folder / "guide.py")
    program.write_text(blocks("python", "sklearn.md")[-1])
    done = shell.python(program)
    assert done.returncode == 0, done.stderr
    found = re.fullmatch(r"\{'dropout': 0\.\d\} (0\.\d+)\n", done.stdout)
    assert found is not None
    assert float(found[1]) > 0.9


@on_ranks.needs_ranks
def test_the_guide_to_several_processes(shell: Shell) -> None:
    program, mapped = blocks("python", "distributed.md")
    (shell.folder / "program.py").write_text(program)
    done = on_ranks.mpiexec(2, "-m", "mpi4py", "program.py", folder=shell.folder)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"0\.\d+ 2\n", done.stdout), done.stdout
    np.save(shell.folder / "images.npy", np.zeros((3, 2)))
    header = bytes([0, 0, 8, 2, 0, 0, 0, 3, 0, 0, 0, 2])
    (shell.folder / "train-images-idx3-ubyte").write_bytes(header + bytes(6))
    (shell.folder / "mapped.py").write_text(mapped + "print(x.shape)\n")
    assert shell.python("mapped.py").stdout == "(3, 2)\n"
