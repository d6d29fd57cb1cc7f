"""No planted bug passes, and no correct backward is called wrong.

Three of each kind are tried with 20 seeds in float64, the others with a few; `XPNET_SEEDS=20 pytest
tests/test_testing_planted_bugs.py` tries all with 20.
"""

from __future__ import annotations

import itertools
import os

import pytest
from planted_bugs import BUGS, KINDS, Bug, Right, Subject
from variants import Variant, make, params

from xpnet.testing import check_gradients

RIGHTS = tuple({bug.right.name: bug.right for bug in BUGS}.values())
SAMPLE = tuple({bug.kind: bug for bug in reversed(BUGS)}.values())
"""One bug of each kind: float64 on NumPy tries all, and every library runs the same code."""
OFTEN = [bug for kind in KINDS for bug in itertools.islice((b for b in BUGS if b.kind == kind), 3)]
FEW = int(os.environ.get("XPNET_SEEDS", "4"))
DTYPES = ("float64", "float32")

each_bug = pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
each_kind = pytest.mark.parametrize("bug", SAMPLE, ids=[bug.name for bug in SAMPLE])
each_right = pytest.mark.parametrize("right", RIGHTS, ids=[right.name for right in RIGHTS])
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


@pytest.fixture(scope="module", params=params("strict", "torch", "jax", "cupy"))
def library(request: pytest.FixtureRequest) -> Variant:
    """Every array library but NumPy, on which every seed is tried."""
    return make(request.param)


def seeds(bug: Bug, dtype: str) -> int:
    """Give the number of seeds to try a bug with."""
    return 20 if dtype == "float64" and bug in OFTEN else FEW


def expected(bug: Bug, dtype: str) -> tuple[str, ...]:
    """Give the verdicts that find a bug; in float32, rounding may hide which one it is."""
    if dtype not in bug.dtypes:
        return ("correct",)
    if bug.kind == "shape":
        return ("refused",)
    if dtype == "float64" or len(bug.dtypes) == 1:
        return ("wrong",)
    return ("wrong", "imprecise", "kink", "nondeterministic", "not finite", "mutates its input")


def verdict(subject: Subject, xp: Variant, dtype: str, seed: int) -> tuple[str, str]:
    """Give the verdict and the report; "refused" where a gradient's shape is not its input's."""
    arguments, keywords = subject(xp, dtype)
    try:
        report = check_gradients(*arguments, **keywords, seed=seed)
    except ValueError as error:
        if "gives a gradient of shape" not in str(error):
            raise
        return "refused", str(error)
    assert report.ok == (report.verdict == "correct")
    return report.verdict, str(report)


def others(
    subject: Subject, xp: Variant, dtype: str, seeds: int, wanted: tuple[str, ...]
) -> dict[int, str]:
    """Give the reports of the seeds whose verdict is none of those wanted."""
    found = {seed: verdict(subject, xp, dtype, seed) for seed in range(seeds)}
    return {seed: report for seed, (name, report) in found.items() if name not in wanted}


def test_the_catalogue() -> None:
    assert len(OFTEN) >= 60
    assert len({bug.name for bug in BUGS}) == len(BUGS)
    assert {bug.kind for bug in BUGS} == set(KINDS)


@each_dtype
@each_bug
def test_no_bug_passes(bug: Bug, dtype: str) -> None:
    found = others(bug.subject, make("numpy"), dtype, seeds(bug, dtype), expected(bug, dtype))
    assert not found, f"seeds {list(found)}: {next(iter(found.values()))}"


@each_dtype
@each_right
def test_no_correct_backward_is_blamed(right: Right, dtype: str) -> None:
    found = others(right.subject, make("numpy"), dtype, FEW, ("correct",))
    assert not found, f"seeds {list(found)}: {next(iter(found.values()))}"


@each_kind
def test_no_bug_passes_on_other_libraries(bug: Bug, library: Variant) -> None:
    found = others(bug.subject, library, "float64", 1, expected(bug, "float64"))
    assert not found, f"seeds {list(found)}: {next(iter(found.values()))}"
