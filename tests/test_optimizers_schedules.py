from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from optimizing import steps
from variants import Variant, make

from xpnet.optimizers import SGD, CosineDecay, Schedule, StepDecay, Warmup

STEPS = np.arange(100.0)

PAIRS: list[tuple[Schedule, Callable[[Any, Any], Any]]] = [
    (StepDecay(0.5, 30), lambda s, o: s.StepLR(o, 30)),
    (StepDecay(0.5, 7, 0.8), lambda s, o: s.StepLR(o, 7, 0.8)),
    (CosineDecay(0.5, 99), lambda s, o: s.CosineAnnealingLR(o, 99)),
    (CosineDecay(0.5, 99, 0.01), lambda s, o: s.CosineAnnealingLR(o, 99, 0.01)),
    (Warmup(0.5, 5), lambda s, o: s.LinearLR(o)),
    (Warmup(0.5, 40, 0.05), lambda s, o: s.LinearLR(o, 0.05, total_iters=40)),
    (Warmup(StepDecay(0.5, 20), 30, 0.1), lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.1, total_iters=30), s.StepLR(o, 20)], [30])),
]


@pytest.mark.parametrize(("schedule", "scheduler"), PAIRS, ids=[repr(s) for s, _ in PAIRS])
def test_rates_are_torchs(schedule: Schedule, scheduler: Callable[[Any, Any], Any]) -> None:
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
    scheduled = scheduler(torch.optim.lr_scheduler, optimizer)
    rates = []
    for _ in STEPS:
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduled.step()
    np.testing.assert_allclose(schedule(STEPS), rates, rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("schedule", [s for s, _ in PAIRS], ids=repr)
def test_rates_of_python_numbers_are_those_of_arrays(schedule: Schedule) -> None:
    rates = [schedule(k) for k in range(100)]
    assert {type(rate) for rate in rates} == {float}
    np.testing.assert_allclose(rates, schedule(STEPS), rtol=1e-14, atol=1e-16)
    assert schedule(3.0) == rates[3]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rates_on_every_library(xp: Variant, dtype: str) -> None:
    def rates(step: Any) -> Any:
        return [schedule(step) for schedule, _ in PAIRS]

    expected = [schedule(STEPS) for schedule, _ in PAIRS]
    xp.check_all(xp.run(rates, STEPS.astype(dtype)), expected, dtype=dtype,
                 rtol=1e-5 if dtype == "float32" else 1e-13, atol=1e-7)


def test_steps_decay_at_the_right_step(xp: Variant) -> None:
    # A quotient of floats may be rounded to the next whole number, or to just below its own.
    step = np.arange(20000, dtype=np.float32)
    expected = [step.astype(int) // every for every in (3, 7, 49, 1000)]
    factor = 1 - 2**-10
    found = xp.run(lambda s: [StepDecay(1, n, factor)(s) for n in (3, 7, 49, 1000)], step)
    xp.check_all(found, [factor**n for n in expected], dtype="float32", rtol=1e-4)


def test_a_rate_that_has_fallen_stays() -> None:
    np.testing.assert_allclose(CosineDecay(0.5, 10, 0.1)(np.array([0.0, 10, 11, 15, 20])),
                               [0.5, 0.1, 0.1, 0.1, 0.1], rtol=1e-15)
    np.testing.assert_array_equal(Warmup(0.5, 10, 0)(np.array([0.0, 5, 10, 11, 1000])),
                                  [0, 0.25, 0.5, 0.5, 0.5])
    np.testing.assert_array_equal(Warmup(0.5, 10, 1)(np.array([0.0, 5, 10])), [0.5] * 3)


def test_what_follows_a_warm_up_begins_where_it_ends() -> None:
    found = Warmup(CosineDecay(0.5, 10, 0.1), 4, 0.5)(np.array([0.0, 2, 4, 9, 14, 15]))
    np.testing.assert_allclose(found, [0.25, 0.375, 0.5, 0.3, 0.1, 0.1], rtol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_optimizer_counts_steps_from_0(xp: Variant, dtype: str) -> None:
    seen = []

    def lr(step: Any) -> Any:  # any function does
        seen.append(step)
        return 1 / (1 + step)

    # At each step the gradient is 1, so the parameter adds the rates up.
    grads = [{"p": np.ones(2)}] * 4
    found, states = steps(xp, SGD(lr), {"p": np.zeros(2)}, grads, dtype=dtype)
    assert {(str(step.dtype).rpartition(".")[2], tuple(step.shape)) for step in seen} == {(dtype, ())}
    for i, p in enumerate(found):
        xp.check(p["p"], np.full(2, -sum(1 / (1 + t) for t in range(i + 1))), dtype=dtype)
    for i, state in enumerate(states, 1):
        xp.check(state["step"], np.int32(i))


def test_a_schedule_may_give_a_number() -> None:
    found, _ = steps(make("numpy"), SGD(lambda step: 0.5), {"p": np.zeros(2)}, [{"p": np.ones(2)}])
    np.testing.assert_array_equal(found[0]["p"], [-0.5, -0.5])


@pytest.mark.parametrize("lr", [lambda step: np.ones(2), [lambda step: np.ones(1)]])
def test_a_schedule_that_gives_more_than_a_number(lr: Any) -> None:
    with pytest.raises(ValueError, match=r"schedule to give one number; got .* shape \([12],\)"):
        steps(make("numpy"), SGD(lr), {"p": np.zeros((1, 2))}, [{"p": np.ones((1, 2))}],
              stack_axes=1)


@pytest.mark.parametrize("lr", [lambda step: "a", [lambda step: None]])
def test_a_schedule_that_gives_no_number(lr: Any) -> None:
    with pytest.raises(TypeError, match="SGD wants what a schedule gives to be a number; got "):
        steps(make("numpy"), SGD(lr), {"p": np.zeros((1, 2))}, [{"p": np.ones((1, 2))}],
              stack_axes=1)


wrong: Any = StepDecay  # whose arguments are not those that its types ask for


@pytest.mark.parametrize(("make_schedule", "message"), [
    (lambda: StepDecay(0, 1), "StepDecay wants lr above 0; got 0"),
    (lambda: StepDecay(0.1, 0), "StepDecay wants every to be a whole number above 0; got 0"),
    (lambda: wrong(0.1, 2.5), "StepDecay wants every to be a whole number above 0; got 2.5"),
    (lambda: StepDecay(0.1, 3, -1), "StepDecay wants factor above 0; got -1"),
    (lambda: CosineDecay(float("nan"), 9), "CosineDecay wants lr to be finite; got nan"),
    (lambda: CosineDecay(0.1, -9), "CosineDecay wants steps to be a whole number above 0; got -9"),
    (lambda: CosineDecay(0.1, 9, -0.1), "CosineDecay wants end of 0 or more; got -0.1"),
    (lambda: Warmup(float("inf"), 9), "Warmup wants lr to be finite; got inf"),
    (lambda: Warmup(0.1, 0), "Warmup wants steps to be a whole number above 0; got 0"),
    (lambda: Warmup(0.1, 9, 1.5), "Warmup wants start_factor from 0 to 1; got 1.5"),
    (lambda: Warmup(0.1, 9, -0.5), "Warmup wants start_factor from 0 to 1; got -0.5"),
])
def test_nonsense(make_schedule: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        make_schedule()
    assert str(caught.value) == message


@pytest.mark.parametrize("make_schedule", [
    lambda lr: StepDecay(lr, 9), lambda lr: CosineDecay(lr, 9), lambda lr: Warmup(lr, 9),
])
def test_what_is_no_number(make_schedule: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match="wants lr to be a number; got '0"):
        make_schedule("0.1")


def test_numpy_numbers_become_pythons(xp: Variant) -> None:
    # A NumPy float64 would make float64 of the float32 that it multiplies.
    h: Any = np.float64(0.5)
    n: Any = np.int64(3)
    schedules = StepDecay(h, n, h), CosineDecay(h, n, h), Warmup(h, n, h)
    found = xp.run(lambda s: [schedule(s) for schedule in schedules], np.ones(2, np.float32))
    xp.check_all(found, [[0.5] * 2, [0.5] * 2, [1 / 3] * 2], dtype="float32")
