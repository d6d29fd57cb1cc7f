"""What all optimisers share: learning rates of a stack, dtypes, and words for what cannot work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
from optimizing import OPTIMIZERS, problem, steps
from variants import Variant, make, params

from xpnet.optimizers import (
    SGD,
    AdaGrad,
    Adam,
    AdamW,
    CosineDecay,
    Momentum,
    Nesterov,
    Optimizer,
    RMSprop,
    StepDecay,
    Warmup,
)


@pytest.mark.parametrize(("cls", "lr"), [
    (Momentum, [0.1, 0.01, 0.03]), (Adam, [StepDecay(0.1, 1, 0.5), 0.01, CosineDecay(0.3, 3)]),
])
def test_a_stack_equals_its_members(xp: Variant, cls: type[Optimizer], lr: list[Any]) -> None:
    weights, grads = problem(3, 3)
    options: dict[str, Any] = {"weight_decay": 0.3, "clip_norm": 1.5}
    stack, _ = steps(xp, cls(lr, **options), weights, grads, stack_axes=1)
    for k, rate in enumerate(lr):
        member, _ = steps(make("numpy"), cls(rate, **options),
                          {name: p[k] for name, p in weights.items()},
                          [{name: g[k] for name, g in step.items()} for step in grads])
        for name in weights:
            xp.check(stack[-1][name][k, ...], member[-1][name], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("variant", params("numpy", "strict"))
@pytest.mark.parametrize("cls", OPTIMIZERS)
def test_every_optimizer_trains_a_stack(variant: str, cls: type[Optimizer]) -> None:
    xp = make(variant)
    weights, grads = problem(3, 2)
    lr: Any = np.array([0.1, 0.02])  # an array is a sequence
    stack, _ = steps(xp, cls(lr, clip_norm=1.5), weights, grads, stack_axes=1, dtype="float32")
    for k in range(2):
        member, _ = steps(xp, cls(float(lr[k]), clip_norm=1.5),
                          {name: p[k] for name, p in weights.items()},
                          [{name: g[k] for name, g in step.items()} for step in grads],
                          dtype="float32")
        for name in weights:
            xp.check(stack[-1][name][k, ...], xp.backend.to_numpy(member[-1][name]), rtol=1e-6,
                     atol=1e-7)


def test_networks_of_two_stack_axes_have_their_own_norms() -> None:
    weights, grads = problem(1, 2, 2)
    xp, optimizer = make("numpy"), SGD(clip_norm=0.5)
    stack, _ = steps(xp, optimizer, weights, grads, stack_axes=2)
    member, _ = steps(xp, optimizer, {name: p[1, 0] for name, p in weights.items()},
                      [{name: g[1, 0] for name, g in grads[0].items()}])
    xp.check(stack[0]["W"][1, 0], member[0]["W"], rtol=1e-14)


@pytest.mark.parametrize("variant", params("numpy", "torch", "jax", "jax-jit", "cupy"))
@pytest.mark.parametrize("cls", OPTIMIZERS)
def test_float16_is_updated_in_float32(variant: str, cls: type[Optimizer]) -> None:
    xp = make(variant)
    weights = {"W": np.array([1.0, -2, 0.5], np.float16)}
    # Squares below float16's least number, and one above its greatest.
    grads = [{"W": np.array([1e-5, 0, 300], np.float16)}] * 2
    optimizer = cls(StepDecay(0.01, 1), clip_norm=1e4, weight_decay=0.3)
    found, states = steps(xp, optimizer, weights, grads)
    wide, wide_states = steps(xp, optimizer, {"W": weights["W"].astype("float32")},
                              [{"W": g["W"].astype("float32")} for g in grads])
    first = xp.backend.to_numpy(wide[0]["W"]).astype("float16")
    xp.check(found[0]["W"], first, dtype="float16", rtol=0)
    assert np.all(np.isfinite(first))
    for key in cls.memory:
        xp.check(states[0][key]["W"], xp.backend.to_numpy(wide_states[0][key]["W"]),
                 dtype="float32", rtol=0)


def test_it_trains_in_one_object_eager_and_compiled(eager: Variant) -> None:
    weights, grads = problem(2)
    optimizer = Adam()
    state = optimizer.init({name: eager.asarray(p) for name, p in weights.items()})
    update = eager.backend.compile(optimizer.update)
    p = {name: eager.asarray(a) for name, a in weights.items()}
    g = {name: eager.asarray(a) for name, a in grads[0].items()}
    expected, expected_state = optimizer.update(p, g, state)
    found, found_state = update(p, g, state)
    for name in weights:
        eager.check(found[name], eager.backend.to_numpy(expected[name]), rtol=1e-14)
        eager.check(found_state["v"][name], eager.backend.to_numpy(expected_state["v"][name]),
                    rtol=1e-14)


def test_the_state_of_numpy_is_of_arrays() -> None:
    # A sum of 0-dimensional arrays is none; files want arrays.
    _, states = steps(make("numpy"), Adam(), *problem(2))
    assert all(type(state["step"]) is np.ndarray for state in states)


def test_python_floats_are_kept() -> None:
    h = np.float64(0.5)
    optimizers = (SGD(h, weight_decay=h, clip_norm=h), SGD([h, h]), Momentum(h, h), RMSprop(h, h, h),
                  AdaGrad(h, h), Adam(h, h, h, h))
    for optimizer in optimizers:
        for value in vars(optimizer).values():
            for number in value if isinstance(value, tuple) else (value,):
                assert type(number) in (float, bool, type(None))


def test_it_cannot_be_changed() -> None:
    # A compiled step would not notice.
    for optimizer, name in ((SGD(), "lr"), (Nesterov(), "momentum"), (AdamW(), "decoupled"),
                            (CosineDecay(0.1, 9), "lr"), (StepDecay(0.1, 9), "every"),
                            (Warmup(0.1, 9), "steps")):
        with pytest.raises(FrozenInstanceError):
            setattr(optimizer, name, 0.5)
    assert SGD().lr == 0.01


def test_it_says_what_it_is() -> None:
    assert repr(Momentum(0.1)) == (
        "Momentum(lr=0.1, weight_decay=0.0, decoupled=False, clip_norm=None, momentum=0.9)"
    )


wrong: Any = SGD  # whose arguments are not those that its types ask for


@pytest.mark.parametrize(("make_optimizer", "error", "message"), [
    (lambda: SGD(0), ValueError, "SGD wants a learning rate lr above 0; got 0"),
    (lambda: SGD(-1), ValueError, "SGD wants a learning rate lr above 0; got -1"),
    (lambda: SGD(float("nan")), ValueError, "SGD wants a learning rate lr to be finite; got nan"),
    (lambda: Adam(float("inf")), ValueError, "Adam wants a learning rate lr to be finite; got inf"),
    (lambda: SGD(True), TypeError, "SGD wants a learning rate lr to be a number; got True"),
    (lambda: wrong(lr=None), TypeError, "SGD wants a learning rate lr to be a number; got None"),
    (lambda: SGD([]), ValueError,
     "SGD wants a learning rate lr for each network of a stack; got none"),
    (lambda: SGD([0.1, 0]), ValueError, "SGD wants each learning rate lr above 0; got 0"),
    (lambda: wrong(lr="0.1"), TypeError, "SGD wants a learning rate lr to be a number; got '0.1'"),
    (lambda: SGD(weight_decay=-1), ValueError, "SGD wants weight_decay of 0 or more; got -1"),
    (lambda: SGD(weight_decay=float("inf")), ValueError,
     "SGD wants weight_decay to be finite; got inf"),
    (lambda: wrong(decoupled=0.1), TypeError, "SGD wants decoupled to be a bool; got 0.1"),
    (lambda: SGD(clip_norm=0), ValueError, "SGD wants clip_norm above 0; got 0"),
    (lambda: Momentum(momentum=1), ValueError, "Momentum wants momentum from 0 to below 1; got 1"),
    (lambda: Momentum(momentum=-0.1), ValueError,
     "Momentum wants momentum from 0 to below 1; got -0.1"),
    (lambda: AdaGrad(eps=0), ValueError, "AdaGrad wants eps above 0; got 0"),
    (lambda: RMSprop(decay_rate=1), ValueError,
     "RMSprop wants decay_rate from 0 to below 1; got 1"),
    (lambda: RMSprop(eps=-1), ValueError, "RMSprop wants eps above 0; got -1"),
    (lambda: Adam(beta1=1.0), ValueError, "Adam wants beta1 from 0 to below 1; got 1.0"),
    (lambda: Adam(beta2=-1), ValueError, "Adam wants beta2 from 0 to below 1; got -1"),
    (lambda: AdamW(eps=0), ValueError, "AdamW wants eps above 0; got 0"),
])
def test_nonsense(make_optimizer: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        make_optimizer()
    assert str(caught.value) == message


def test_parameters_that_cannot_be_trained(xp: Variant) -> None:
    with pytest.raises(TypeError, match="SGD wants parameters of one dtype; got none"):
        SGD().init({})
    with pytest.raises(TypeError, match=r'SGD "W" wants a real floating dtype; got .*int32'):
        SGD().init({"W": xp.asarray([1], "int32")})
    with pytest.raises(TypeError, match=r'SGD wants .* one dtype; got "W" .*float32, "b" .*float64'):
        SGD().init({"W": xp.asarray([1], "float32"), "b": xp.asarray([1], "float64")})


@pytest.mark.parametrize(("grads", "message"), [
    ({"W": np.ones(3)}, "wants a gradient for each parameter, W, b; got W"),
    ({}, "wants a gradient for each parameter, W, b; got none"),
    ({"W": np.ones(3), "b": np.ones(()), "c": np.ones(2)}, "W, b; got W, b, c"),
    ({"W": np.ones(1), "b": np.ones(2)}, r'of "W" of shape \(3,\) and .*float64; got \(1,\) and'),
    ({"W": np.ones(3), "b": np.ones(2, np.float32)}, r'of "b" of shape .*; got \(2,\) and .*32'),
])
def test_gradients_that_do_not_fit(xp: Variant, grads: dict[str, Any], message: str) -> None:
    weights = {"W": xp.asarray(np.ones(3)), "b": xp.asarray(np.ones(2))}
    with pytest.raises(ValueError, match=message):
        SGD().update(weights, {name: xp.asarray(g) for name, g in grads.items()}, {})


@pytest.mark.parametrize(("lr", "shapes", "stack_axes", "message"), [
    (0.1, [(2, 3), (3,)], 1, r'in front of each parameter; got \(2,\) and, of "b", \(3,\)'),
    (0.1, [(2, 3), (1, 3)], 1, r'got \(2,\) and, of "b", \(1,\)'),
    (0.1, [(2,), (2,)], 2, r'wants parameters with 2 stack axes; got "W" \(2,\), "b" \(2,\)'),
    ([0.1, 0.2], [(2, 3), (2,)], 0, r"has 2 learning rates, .* got stack axes \(\)"),
    ([0.1, 0.2], [(3, 3), (3,)], 1, r"stack_axes=1 and parameters \(2, …\); got stack axes \(3,\)"),
    ([0.1, 0.2], [(2, 2, 1), (2, 2)], 2, r"got stack axes \(2, 2\)"),
])
def test_stacks_that_do_not_fit(
    xp: Variant, lr: Any, shapes: list[tuple[int, ...]], stack_axes: int, message: str
) -> None:
    weights = {name: xp.asarray(np.ones(shape)) for name, shape in zip("Wb", shapes, strict=True)}
    with pytest.raises(ValueError, match=message):
        SGD(lr).update(weights, weights, {}, stack_axes=stack_axes)


def test_no_parameters() -> None:
    with pytest.raises(ValueError, match="SGD wants a gradient for each parameter, …; got none"):
        SGD().update({}, {}, {})


def test_another_optimizers_state() -> None:
    weights = {"W": np.ones(3)}
    with pytest.raises(ValueError, match=r"Adam wants the state that its init gave, with "
                                         r"\['m', 'step', 'v'\]; got \['v'\]"):
        Adam().update(weights, weights, Momentum().init(weights))
