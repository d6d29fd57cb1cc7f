"""784-4096-4096-10, batch 8192, with products of numbers that are rounded to 10 bits."""

from __future__ import annotations

from benchmarks.cuda_sections.found import Found
from benchmarks.cuda_sections.large import measure

__all__ = ["run"]


def run(found: Found) -> None:
    """Time steps of everybody, with TF32."""
    measure(found, tf32=True)
