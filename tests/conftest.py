"""The fixtures."""

from __future__ import annotations

import pytest
from variants import VARIANTS, Variant, make, missing, params


def pytest_report_header() -> list[str]:
    """Say once which libraries are not tested, instead of at each of the skipped tests."""
    reasons = {variant: missing(variant) for variant in VARIANTS}
    return ["array libraries: " + ", ".join(v for v, reason in reasons.items() if not reason)] + [
        f"skipped: {variant}: {reason}" for variant, reason in reasons.items() if reason
    ]


@pytest.fixture(params=params(*VARIANTS))
def xp(request: pytest.FixtureRequest) -> Variant:
    """Every array library, in every mode."""
    return make(request.param)


@pytest.fixture(params=params("numpy", "strict", "torch", "jax", "cupy"))
def eager(request: pytest.FixtureRequest) -> Variant:
    """Every array library, computing values at once, its arrays mutable where it can."""
    return make(request.param)
