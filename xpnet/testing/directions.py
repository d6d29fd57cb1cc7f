"""Gradients along random directions: milliseconds, however many elements there are."""

from __future__ import annotations

from xpnet.testing.report import Element, VariableReport, severity
from xpnet.testing.sites import Site

__all__ = ["check_directions"]


def check_directions(site: Site, names: list[str], count: int) -> list[VariableReport]:
    """Check variables along random directions, with a `dout` for each, as far as it is free."""
    worst: dict[str, VariableReport] = {}
    for k in range(count):
        if k and site.dout_is_free:
            site.turn()
        for name in names:
            if name in worst and worst[name].verdict == "wrong":  # others would not make it right
                continue
            expected, j = site.judge_randomly(name)
            found = VariableReport(
                name, tuple(site.point[name].shape), j.verdict,
                Element(name, None, expected, j.slope, j.error), j.bar, j.step, j.trail,
            )
            worst[name] = max(worst.get(name, found), found, key=severity)
    return [worst[name] for name in names]
