"""The fixtures."""

from __future__ import annotations

import os

os.environ["SCIPY_ARRAY_API"] = "1"  # before SciPy is imported: scikit-learn dispatches only then

from collections.abc import Iterator
from pathlib import Path

import on_ranks
import pytest
from shell import Shell
from variants import VARIANTS, Variant, make, missing, params

import xpnet.backend


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once which libraries were not tested, instead of at each of the skipped tests."""
    reasons = {variant: missing(variant) for variant in VARIANTS}
    tested = ", ".join(variant for variant, reason in reasons.items() if reason is None)
    terminalreporter.write_line(f"array libraries tested: {tested}")
    for name, reason in (*reasons.items(), ("several ranks", on_ranks.MISSING)):
        if reason is not None:
            terminalreporter.write_line(f"skipped: {name}: {reason}")


@pytest.fixture(params=params(*VARIANTS))
def xp(request: pytest.FixtureRequest) -> Variant:
    """Every array library, in every mode."""
    return make(request.param)


@pytest.fixture(params=params("numpy", "strict", "torch", "jax", "cupy"))
def eager(request: pytest.FixtureRequest) -> Variant:
    """Every array library, computing values at once, its arrays mutable where it can."""
    return make(request.param)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Run scripts in a folder of this test."""
    (tmp_path / "work").mkdir()
    return Shell(tmp_path / "work")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the tests off the user's data sets; give the cache they see instead."""
    folder = tmp_path / "cache"
    monkeypatch.delenv("XPNET_DATA", raising=False)
    monkeypatch.setattr("pooch.os_cache", lambda name: folder / name)
    return folder / "xpnet"


@pytest.fixture
def forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Let backends be looked for afresh, and forget what this test found."""
    caches = (xpnet.backend._backend_class, xpnet.backend._entry_points)
    for cache in caches:
        cache.cache_clear()
    yield monkeypatch
    for cache in caches:
        cache.cache_clear()
