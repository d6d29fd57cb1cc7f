from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from variants import Variant, make

from xpnet.training import EarlyStopping, Epoch
from xpnet.training.stopping import Best, Watch

NAN, INF = float("nan"), float("inf")


def carry(step: float, xp: Any = None, members: int | None = None) -> dict[str, Any]:
    """Give weights that tell the step, and of a stack the member behind the point."""
    asarray = np.asarray if xp is None else xp.asarray
    a = np.full((2, 3), float(step)) if members is None else (
        step + 0.1 * np.arange(members)[:, None, None] + np.zeros((2, 3)))
    return {"params": {"W1": asarray(a)}, "state": {"mean": asarray(a[..., 0, :])}, "optimizer": {},
            "counter": None}


def epoch_of(number: int, validation: dict[str, Any]) -> Epoch:
    return Epoch(number, 1.0, validation, 1.0, 1.0)


def watched(values: list[Any], settings: EarlyStopping, xp: Any = None) -> tuple[Best, int]:
    """Give the best weights in the end, and after how many epochs it ends."""
    members = len(values[0]) if isinstance(values[0], list) else None
    watch = Watch(settings, (xp or make("numpy")).backend)
    best = watch.begin(carry(0, xp, members))
    for epoch, value in enumerate(values, start=1):
        assert watch.goes_on(best)
        best = watch.look(best, carry(epoch, xp, members), epoch_of(epoch, {settings.monitor: value}))
        if not watch.goes_on(best):
            return best, epoch
    return best, len(values)


@pytest.mark.parametrize(("values", "settings", "kept", "end"), [
    ([3, 2, 1, 1, 1, 0], EarlyStopping(2), 3, 5),
    ([1, 2, 3, 0], EarlyStopping(2), 1, 3),
    ([1, 2, 0.5, 3, 0.4, 1, 1], EarlyStopping(2), 5, 7),
    ([0.1, 0.5, 0.4, 0.6, 0.6], EarlyStopping(1, "accuracy"), 2, 3),
    ([0.1, 0.5, 0.5, 0.5, 0.6], EarlyStopping(2, "accuracy"), 2, 4),
    ([3.0, 2.95, 2.85, 2.0], EarlyStopping(2, min_delta=0.1), 4, 4),
    ([3.0, 2.95, 2.91, 2.0], EarlyStopping(2, min_delta=0.1), 1, 3),
    ([3.0, 2.0, 2.0, 0], EarlyStopping(2, min_delta=1.0), 1, 3),
    ([NAN, NAN, 5.0, 6.0, 4.0], EarlyStopping(3), 5, 5),
    ([NAN, NAN, 5.0], EarlyStopping(2), 3, 3),
    ([5.0, NAN, NAN, 1.0], EarlyStopping(2), 1, 3),
    ([INF, INF, 1.0, 2.0], EarlyStopping(2), 3, 4),
    ([1.0], EarlyStopping(1), 1, 1),
])
def test_a_single_network(values: Any, settings: Any, kept: int, end: int) -> None:
    best, found = watched(values, settings)
    assert found == end
    assert best.arrays["params"]["W1"][0, 0] == kept
    assert best.epochs == [kept]
    assert best.arrays["state"]["mean"][0] == kept


def test_each_network_of_a_stack_stops_for_itself(eager: Variant) -> None:
    values = [[3.0, 1, NAN], [2, 2, NAN], [1, 2, NAN], [2, 0, NAN], [2, 0, 1], [0, 0, 0]]
    best, end = watched(values, EarlyStopping(2), eager)
    # The second has stopped after three epochs, the third too, the first after five.
    assert end == 5
    kept = eager.backend.to_numpy(best.arrays["params"]["W1"])[:, 0, 0]
    np.testing.assert_allclose(kept, [3, 1.1, 1.2], rtol=1e-12)
    eager.check(best.arrays["state"]["mean"], np.tile(kept[:, None], 3), rtol=1e-12)
    assert best.values[:2] == [1, 1]
    assert best.waited == [2, 2, 2]
    assert best.epochs == [3, 1, 1]


def test_a_network_alone_is_one_of_a_stack() -> None:
    curves = np.random.default_rng(0).integers(0, 9, (20, 5)).astype(float)
    best, _ = watched(curves.tolist(), EarlyStopping(3))
    for k, curve in enumerate(curves.T):
        alone, _ = watched(curve.tolist(), EarlyStopping(3))
        assert best.arrays["params"]["W1"][k, 0, 0] == pytest.approx(
            alone.arrays["params"]["W1"][0, 0] + 0.1 * k)


def test_what_was_given_is_not_changed() -> None:
    watch = Watch(EarlyStopping(2), make("numpy").backend)
    first = watch.look(watch.begin(carry(0)), carry(1), epoch_of(1, {"loss": 1.0}))
    before = first._replace(values=list(first.values), waited=list(first.waited))
    watch.look(first, carry(2), epoch_of(2, {"loss": 0.5}))
    assert first == before
    assert first.arrays["params"]["W1"][0, 0] == 1


@pytest.mark.parametrize(("options", "words"), [
    ({"patience": 0}, "patience to be a whole number above 0; got 0"),
    ({"patience": 1.5}, r"patience .* got 1\.5"), ({"patience": True}, "patience .* got True"),
    ({"min_delta": -1.0}, r"min_delta of 0 or more; got -1\.0"), ({"min_delta": NAN}, "got nan"),
    ({"min_delta": INF}, "got inf"), ({"min_delta": "0.1"}, "got '0.1'"),
])
def test_settings_that_make_no_sense(options: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"EarlyStopping wants .*{words}"):
        EarlyStopping(**options)
