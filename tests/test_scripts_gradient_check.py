from __future__ import annotations

import math
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import pytest
from folders import content
from shell import LIBRARIES, Shell, refused
from variants import missing, params

Done: TypeAlias = "Future[subprocess.CompletedProcess[str]]"


@dataclass
class Row:
    """A line of the table: how much a parameter's gradients differ."""

    mean: float
    worst: float
    element: tuple[int, ...]
    relative: float


def table(done: subprocess.CompletedProcess[str]) -> dict[str, Row]:
    """Read the table, and see that all four parameters are in it, once."""
    __tracebackhide__ = True
    number = r"([-+.\de]+|nan|inf)"
    rows = re.findall(rf"^(\w+) +{number} +{number} at ([\d, ]*\d) +{number}$", done.stdout, re.MULTILINE)
    assert [row[0] for row in rows] == ["W1", "b1", "W2", "b2"], done.stdout
    return {
        name: Row(float(mean), float(worst), tuple(map(int, element.split(", "))), float(relative))
        for name, mean, worst, element, relative in rows
    }


def correct(done: subprocess.CompletedProcess[str], largest: float) -> None:
    """See that all agree: no difference above `largest`."""
    __tracebackhide__ = True
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "backpropagation is correct"
    for name, row in table(done).items():
        assert len(row.element) == (2 if name.startswith("W") else 1)
        assert 0 < row.mean <= row.worst < largest


def test_gradients_agree_in_float32(shell: Shell) -> None:
    done = shell.gradient_check("--dtype", "float32", "--seed", 1)
    assert "float32, numpy on cpu" in done.stdout
    correct(done, 1e-6)


PLANTED = """
import array_api_compat
import {module} as module
right = module.{function}

def wrong({arguments}):
    xp = array_api_compat.array_namespace(x)
    {body}

module.{function} = wrong
"""
AFFINE = {"module": "xpnet.layers.affine", "function": "affine_backward",
          "arguments": "dout, x, W, b"}
RELU = {"module": "xpnet.layers.relu", "function": "relu_backward", "arguments": "dout, x"}
LOSS = {"module": "xpnet.losses", "function": "softmax_cross_entropy_backward",
        "arguments": "dout, x, t, y=None"}
TAKEN = "dx, dW, db = right(dout, x, W, b); "


BUGS: dict[str, tuple[dict[str, str], str, str]] = {
    # where, what, and the parameters whose gradients are then wrong
    "nothing": (AFFINE, "return right(dout, x, W, b)", ""),
    "sign of dW": (AFFINE, TAKEN + "return dx, -dW, db", "W1 W2"),
    "sign of dx": (AFFINE, TAKEN + "return -dx, dW, db", "W1 b1"),
    "factor 2": (LOSS, "return 2 * right(dout, x, t, y=y)", "W1 b1 W2 b2"),
    "not the mean": (LOSS, "return right(dout, x, t, y=y) * x.shape[0]", "W1 b1 W2 b2"),
    "no sum over the batch": (AFFINE, TAKEN + "return dx, dW, dout[0, :]", "b1 b2"),
    "wrong row": (LOSS, "return right(dout, x, xp.roll(t, 1), y=y)", "W1 b1 W2"),
    "transposed mask": (
        RELU, "return xp.where(xp.reshape((x <= 0).T, x.shape), 0, dout)", "W1 b1"),
    "no mask": (RELU, "return dout", "W1 b1"),
    "one element": (
        AFFINE, TAKEN + "dW[400:401, 7] += 1e-5 * (W.shape[0] == 784); return dx, dW, db", "W1"),
    "one bias": (
        AFFINE, TAKEN + "return dx, dW, db * (1.001 if b.shape == (50,) else 1)", "b1"),
    "NaN": (
        AFFINE, TAKEN + "db[3] = xp.nan if b.shape == (10,) else db[3]; return dx, dW, db", "b2"),
}


@pytest.fixture(scope="module", autouse=True)
def checks(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Done]]:
    """Check the gradients on each library and with each bug, one by one, beside the other tests.

    They take most of the time, JAX half a minute. Only those that a selected test wants are run.
    """
    folder = tmp_path_factory.mktemp("checks")
    (folder / "work").mkdir()
    shell = Shell(folder / "work")
    wanted = [item.callspec.params.get("check") for item in request.session.items
              if isinstance(item, pytest.Function) and hasattr(item, "callspec")]
    pool = ThreadPoolExecutor(1)
    found: dict[str, Done] = {}
    for check in wanted:
        if check in BUGS:
            where, body, _ = BUGS[check]
            runner = shell.runner(PLANTED.format(body=body, **where), "gradient_check.py",
                                  check.replace(" ", "-"))
            found[check] = pool.submit(shell.python, runner)
        elif check in LIBRARIES and not missing(check):
            found[check] = pool.submit(
                shell.gradient_check, "--backend", check, gpu=check == "cupy")
    yield found
    pool.shutdown(cancel_futures=True)
    assert content(shell.folder) == {}


@pytest.mark.parametrize("check", params(*LIBRARIES))
def test_gradients_agree_on_every_library(checks: dict[str, Done], check: str) -> None:
    done = checks[check].result()
    assert f"float64, {check} on" in done.stdout
    correct(done, 1e-8)


@pytest.mark.parametrize("check", BUGS)
def test_planted_bugs_are_found(checks: dict[str, Done], check: str) -> None:
    done = checks[check].result()
    wrong = BUGS[check][2].split()
    if not wrong:
        correct(done, 1e-8)
        return
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "backpropagation is WRONG"
    rows = table(done)
    assert [name for name, row in rows.items() if not row.relative < 1e-5] == wrong
    if check == "one element":
        assert rows["W1"].element == (400, 7)
        assert rows["W1"].worst == pytest.approx(1e-5, rel=0.06)  # two digits are printed
    if check == "NaN":
        assert rows["b2"].element == (3,)
        assert math.isnan(rows["b2"].worst)


@pytest.mark.parametrize(("options", "wanted"), [
    ("--backend nosuch", ["nosuch", "available here: numpy"]),
    ("--dtype float16", ["float16", "float32", "float64"]),
    ("--seed 1.5", ["--seed", "a whole number from 0", "got 1.5"]),
    ("--device gpu", ["gpu", "cpu, cuda"]),
    ("--epochs 3", ["--epochs"]),
])
def test_bad_options_of_gradient_check(shell: Shell, options: str, wanted: list[str]) -> None:
    refused(shell, f"gradient_check.py {options}", *wanted)
