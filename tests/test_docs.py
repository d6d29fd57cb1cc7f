"""What the guide shows is what comes."""

from __future__ import annotations

import re
from pathlib import Path

from shell import ROOT, Shell

GUIDE = (ROOT / "docs" / "gradient_checks.md").read_text()


def blocks(language: str) -> list[str]:
    """Give the guide's blocks of code in a language, "" for what is printed."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
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
