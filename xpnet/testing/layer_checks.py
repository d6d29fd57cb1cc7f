"""`check_layer`: what a layer has to stand to work wherever arrays are, check by check."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import array_api_compat

from xpnet.functional._array import Array, array_namespace
from xpnet.testing import _host as libraries
from xpnet.testing.layer_catalogue import CHECKS, Check
from xpnet.testing.layer_runs import LayerAtWork
from xpnet.testing.layer_wants import CheckError, CheckSkipped

__all__ = ["CheckResult", "LayerReport", "check_layer", "layer_checks"]

Status: TypeAlias = Literal["passed", "failed", "skipped", "expected failure", "unexpected pass"]


@dataclass(frozen=True)
class CheckResult:
    """What one check found.

    Attributes
    ----------
    name, description : str
        The check's: what it is called, and what a layer does that passes.
    status : str
        "passed", "failed", "skipped", "expected failure" or "unexpected pass".
    message : str
        In one line, what was wanted and what came, or why it was skipped; empty if it passed.
    """

    name: str
    description: str
    status: Status
    message: str = ""

    @property
    def ok(self) -> bool:
        """Whether it came as expected."""
        return self.status not in ("failed", "unexpected pass")


@dataclass(frozen=True)
class LayerReport:
    """What `check_layer` found. It is true if all came as expected, and prints as a table.

    Attributes
    ----------
    subject : str
        What was checked.
    results : tuple of CheckResult
        In the order of `layer_checks`.
    """

    subject: str
    results: tuple[CheckResult, ...]

    @property
    def ok(self) -> bool:
        """Whether every check came as expected; those that were skipped do not count."""
        return all(result.ok for result in self.results)

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        statuses = [result.status for result in self.results]
        counts = ", ".join(f"{statuses.count(s)} {s}" for s in dict.fromkeys(statuses))
        rows = [(r.status, r.name, r.message or r.description) for r in self.results]
        widths = [max((len(row[k]) for row in rows), default=0) for k in range(2)]
        return "\n".join([f"{self.subject}: {counts or 'no checks'}", *(
            f"{status:{widths[0]}}  {name:{widths[1]}}  {text}" for status, name, text in rows
        )])

    def __repr__(self) -> str:
        return f"<LayerReport\n{self}\n>"


def layer_checks() -> tuple[str, ...]:
    """Give the names of the checks, in their order: for `pytest.mark.parametrize`, say."""
    return tuple(CHECKS)


def check_layer(
    layer: Any,
    *inputs: Array,
    checks: Iterable[str] | None = None,
    skip: Iterable[str] = (),
    expected_to_fail: Mapping[str, str] | None = None,
) -> LayerReport:
    """Check that a layer keeps what layers promise, on this array-API library and on others.

    Whatever the layer does, it and the inputs are left as they were.

    Parameters
    ----------
    layer : object
        A layer or loss, in one of the forms that `check_gradients` knows.
    *inputs : array
        What its forward takes: of one library, of two rows or more along axis 0, equally many.
    checks : iterable of str, optional
        The only checks to make, by name; if not given, all.
    skip : iterable of str
        Those not to make.
    expected_to_fail : mapping, optional
        The names of checks that fail, and why. That they fail is ok. That one passes is not: it
        can be taken out.

    Returns
    -------
    LayerReport
        True if all came as expected; prints as a table.

    Raises
    ------
    TypeError, ValueError
        If these arguments are not as described. What the layer raises is in the report.
    """
    _check_arguments(layer, inputs)
    if isinstance(checks, str) or isinstance(skip, str):
        raise TypeError("checks and skip are sequences of names, not one name")
    if not isinstance(expected_to_fail, Mapping | None):
        raise TypeError("expected_to_fail is a mapping from names to reasons; got "
                        f"{type(expected_to_fail).__name__}")
    reasons = dict(expected_to_fail or {})
    chosen, skipped = list(CHECKS if checks is None else checks), list(skip)
    unknown = dict.fromkeys(name for name in (*chosen, *skipped, *reasons) if name not in CHECKS)
    if unknown:
        raise ValueError(f"there is no check {', '.join(map(repr, unknown))}; "
                         f"there are {', '.join(map(repr, CHECKS))}")
    results = []
    for name in (name for name in CHECKS if name in chosen):
        check = CHECKS[name]
        outcome = _SKIPPED if name in skipped else _outcome(check, layer, inputs)
        if name in reasons:
            outcome = _expected(reasons[name], *outcome)
        results.append(CheckResult(name, check.description, *outcome))
    return LayerReport(type(layer).__name__, tuple(results))


def _check_arguments(layer: Any, inputs: tuple[Array, ...]) -> None:
    methods = (getattr(layer, name, None) for name in ("forward", "backward"))
    if isinstance(layer, type) or not all(map(callable, methods)):
        raise TypeError(f"check_layer wants a layer with forward and backward; got {layer!r}")
    if not inputs or not all(map(array_api_compat.is_array_api_obj, inputs)):
        raise TypeError("check_layer wants the arrays that forward takes; got "
                        + (", ".join(type(x).__name__ for x in inputs) or "none"))
    array_namespace(*inputs)
    rows = {x.shape[0] if x.ndim else 0 for x in inputs}
    if len(rows) > 1 or min(rows) < 2:
        raise ValueError("check_layer wants inputs of two rows or more, equally many; got shapes "
                         + ", ".join(str(tuple(x.shape)) for x in inputs))


_Outcome: TypeAlias = tuple[Status, str]
_SKIPPED: _Outcome = ("skipped", "as asked")


def _outcome(check: Check, layer: Any, inputs: tuple[Array, ...]) -> _Outcome:
    """Make a check. Whatever the layer raises is a failure of this one; the others go on."""
    if check.needs and not libraries.installed(check.needs):
        return "skipped", f"{check.needs} is not installed"
    try:
        check.run(LayerAtWork(layer, inputs))
    except CheckSkipped as reason:
        return "skipped", str(reason)
    except CheckError as error:
        return "failed", str(error)
    except Exception as error:  # noqa: BLE001  a layer may raise anything
        text = str(error).strip().partition("\n")[0]
        return "failed", f"{type(error).__name__}: {text}"
    return "passed", ""


def _expected(reason: str, status: Status, message: str) -> _Outcome:
    """Judge what came of a check that is expected to fail."""
    if status == "failed":
        return "expected failure", f"{reason}: {message}"
    if status == "passed":
        return "unexpected pass", f"wants a failure: {reason}; it passed"
    return status, message
