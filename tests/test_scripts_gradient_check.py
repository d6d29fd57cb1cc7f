from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

import pytest
from folders import content
from shell import LIBRARIES, Shell, refused
from variants import missing, params

Done: TypeAlias = "Future[subprocess.CompletedProcess[str]]"


def rows(done: subprocess.CompletedProcess[str]) -> dict[str, tuple[str, float]]:
    """Read the table: each variable's verdict and error."""
    found = re.findall(r"^(\w+) +\([\d, ]+\) +(\w+) +([-+.\de]+) ", done.stdout, re.MULTILINE)
    return {name: (verdict, float(error)) for name, verdict, error in found}


def correct(done: subprocess.CompletedProcess[str], largest: float) -> None:
    """See that all agree: no error above `largest`."""
    __tracebackhide__ = True
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert done.stdout.startswith("TwoLayerNet: correct (")
    found = rows(done)
    assert list(found) == ["W1", "b1", "W2", "b2"]
    for verdict, error in found.values():
        assert verdict == "correct"
        assert error < largest


@pytest.fixture(scope="module", autouse=True)
def checks(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Done]]:
    """Check the gradients on each library, one by one, beside the other tests.

    Only those that a selected test wants are run.
    """
    folder = tmp_path_factory.mktemp("checks")
    (folder / "work").mkdir()
    shell = Shell(folder / "work")
    wanted = [item.callspec.params.get("library") for item in request.session.items
              if isinstance(item, pytest.Function) and hasattr(item, "callspec")]
    pool = ThreadPoolExecutor(1)
    yield {
        library: pool.submit(shell.gradient_check, "--backend", library, gpu=library == "cupy")
        for library in LIBRARIES if library in wanted and not missing(library)
    }
    pool.shutdown(cancel_futures=True)
    assert content(shell.folder) == {}


@pytest.mark.parametrize("library", params(*LIBRARIES))
def test_gradients_agree_on_every_library(checks: dict[str, Done], library: str) -> None:
    done = checks[library].result()
    assert re.search(rf"^(?:jax\.|array_api_)?{library}[.\w]* float64 on .*4 random directions$",
                     done.stdout, re.MULTILINE), done.stdout
    correct(done, 1e-6)


@pytest.mark.parametrize("mode", ["full", "structured"])
def test_every_element(shell: Shell, mode: str) -> None:
    done = shell.gradient_check("--mode", mode, "--seed", 3)
    assert "every element" in done.stdout
    correct(done, 1e-5)


def test_gradients_agree_in_float32(shell: Shell) -> None:
    done = shell.gradient_check("--dtype", "float32", "--seed", 1)
    assert "numpy float32 on cpu; 4 random directions, in float64" in done.stdout
    correct(done, 1e-5)


PLANTED = """
import xpnet.layers.affine as module
right = module.affine_backward

def wrong(dout, x, W, b, **options):
    dx, dW, db = right(dout, x, W, b, **options)
    if W.shape[0] == 784:
        dW[400, 7] += 1e-5
    return dx, dW, db

module.affine_backward = wrong
"""


@pytest.mark.parametrize("mode", ["random", "full", "structured"])
def test_one_element_that_is_off_is_found_and_named(shell: Shell, mode: str) -> None:
    done = shell.python(shell.runner(PLANTED, "gradient_check.py"), "--mode", mode)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr == ""
    assert done.stdout.startswith("TwoLayerNet: wrong (")
    assert [name for name, (verdict, _) in rows(done).items() if verdict == "wrong"] == ["W1"]
    assert "[400, 7]" in done.stdout
    assert "only the element [400, 7] of W1 is off" in done.stdout


LAYERS = """
import numpy as np


class Tanh:
    def forward(self, x):
        self.y = np.tanh(x)
        return self.y

    def backward(self, dout):
        return dout * (1 - self.y**2)


class Wrong(Tanh):
    def backward(self, dout):
        return -super().backward(dout)


class Scale:
    def __init__(self, a):
        self.a = a

    def forward(self, x):
        self.x = x
        return self.a * x

    def backward(self, dout):
        self.da = (dout * self.x).sum(0)
        return dout * self.a


def scale():
    return Scale(np.arange(1.0, 5.0)), np.ones((3, 4))


instance = Scale(np.arange(1.0, 5.0))


def nothing():
    return None


class Raises(Tanh):
    def forward(self, x):
        return {}["missing"]
"""


def test_a_layer_of_ones_own(shell: Shell) -> None:
    (shell.folder / "package").mkdir()
    (shell.folder / "package" / "mine.py").write_text(LAYERS)
    before = content(shell.folder)
    for arguments, name, verdict, variables in (
        ("package.mine:Tanh --input 3,4", "Tanh", "correct", ["x"]),
        ("package.mine:Tanh --input 6 --mode full --dtype float32", "Tanh", "correct", ["x"]),
        ("package.mine:Wrong --input 3,4", "Wrong", "wrong", ["x"]),
        ("package.mine:scale", "Scale", "correct", ["x", "a"]),
        ("package.mine:instance --input 2,4 --mode structured", "Scale", "correct", ["x", "a"]),
    ):
        done = shell.gradient_check("--layer", *arguments.split())
        assert done.returncode == (verdict != "correct"), done.stdout + done.stderr
        assert done.stdout.startswith(f"{name}: {verdict} (")
        assert list(rows(done)) == variables
        assert ("x: the sign is wrong" in done.stdout) == (verdict == "wrong")
    after = {name: x for name, x in content(shell.folder).items() if "__pycache__" not in str(name)}
    assert after == before


def test_a_layer_that_cannot_be_checked(shell: Shell) -> None:
    (shell.folder / "mine.py").write_text(LAYERS)
    for arguments, wanted in (
        ("mine:nothing --input 3,4", "gradient_check.py: --layer mine:nothing makes None"),
        ("mine:instance --input 3,5", "gradient_check.py: operands could not be broadcast"),
        ("mine:Raises --input 3,4", "in forward\n    return {}[\"missing\"]"),
    ):
        done = shell.gradient_check("--layer", *arguments.split())
        assert done.returncode == 2, done.stdout + done.stderr
        assert done.stdout == ""
        assert wanted in done.stderr


@pytest.mark.parametrize(("options", "wanted"), [
    ("--backend nosuch", ["nosuch", "available here: numpy"]),
    ("--dtype float16", ["float16", "float32", "float64"]),
    ("--seed 1.5", ["--seed", "a whole number from 0", "got 1.5"]),
    ("--device gpu", ["gpu", "cpu, cuda"]),
    ("--epochs 3", ["--epochs"]),
    ("--mode fast", ["--mode", "random", "structured"]),
    ("--input 3,4", ["--input goes with --layer"]),
    ("--layer xpnet:Relu --input 3x4", ["a shape as 3,784 is wanted", "got 3x4"]),
    ("--layer xpnet:Relu", ["xpnet:Relu makes a layer without inputs", "--input 3,784"]),
    ("--layer xpnet.Relu --input 3,4", ["mypackage.mymodule:name", "got xpnet.Relu"]),
    ("--layer nosuch:Relu --input 3,4", ["No module named 'nosuch'"]),
    ("--layer xpnet:Nosuch --input 3,4", ["xpnet:Nosuch", "has no attribute 'Nosuch'"]),
    ("--layer xpnet:Affine --input 3,4", ["'W'", "name a function that makes the layer"]),
    ("--layer xpnet:__version__ --input 3,4", ["xpnet:__version__", "name a function"]),
])
def test_bad_options_of_gradient_check(shell: Shell, options: str, wanted: list[str]) -> None:
    refused(shell, f"gradient_check.py {options}", *wanted)
