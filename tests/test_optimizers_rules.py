"""Every optimiser's rule, on every library, against torch.optim's and the book's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from optimizing import OPTIMIZERS, Params, problem, steps, torch_steps
from variants import Variant, make, params

import xpnet.optimizers
from xpnet.optimizers import (
    AdaGrad,
    Adam,
    AdamW,
    CosineDecay,
    Momentum,
    Nesterov,
    Optimizer,
    RMSprop,
)
from xpnet.optimizers.adam import bias_correction

HOW_MANY = {"jax": 2, "strict": 20, "torch-meta": 2}
"""Steps to compare; elsewhere a hundred. Uncompiled JAX is slow, and compiled JAX is held as well."""


def test_every_optimizer_is_held() -> None:
    public = [getattr(xpnet.optimizers, name) for name in xpnet.optimizers.__all__]
    rules = {c for c in public if isinstance(c, type) and issubclass(c, Optimizer)} - {Optimizer}
    assert rules == set(OPTIMIZERS)
    assert {c.__name__ for c in rules} <= set(xpnet.__all__)


def check(xp: Variant, found: list[dict[str, Any]], expected: list[Params]) -> None:
    __tracebackhide__ = True
    assert len(found) == len(expected)
    for i in sorted({0, 1, 2, 9, 39, len(expected) - 1} & set(range(len(expected)))):
        assert list(found[i]) == list(expected[i])
        for name, p in expected[i].items():
            xp.check(found[i][name], p, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("cls", OPTIMIZERS)
def test_a_hundred_steps_are_torchs(xp: Variant, cls: type[Optimizer]) -> None:
    weights, grads = problem(HOW_MANY.get(xp.id, 100))
    options: dict[str, Any] = {"weight_decay": 0.3, "clip_norm": 1.5}
    found, states = steps(xp, cls(CosineDecay(0.05, 100), **options), weights, grads)
    check(xp, found, torch_steps(cls, weights, grads, lr=0.05, **options,
                                 scheduler=lambda s, o: s.CosineAnnealingLR(o, 100)))
    assert set(states[-1]) == {*cls.memory, "step"}
    xp.check(states[-1]["step"], np.int32(len(grads)))
    for key in cls.memory:
        for name, p in weights.items():
            xp.check(0 * states[-1][key][name], 0 * p)


@pytest.mark.parametrize("options", [
    {}, {"weight_decay": 0.3}, {"weight_decay": 0.3, "decoupled": True}, {"clip_norm": 1.5},
    {"clip_norm": 1.5, "weight_decay": 0.3},
], ids=str)
@pytest.mark.parametrize("cls", [c for c in OPTIMIZERS if c is not AdamW])
def test_each_option(cls: type[Optimizer], options: dict[str, Any]) -> None:
    weights, grads = problem(100)
    found, _ = steps(make("numpy"), cls(0.05, **options), weights, grads)
    check(make("numpy"), found, torch_steps(cls, weights, grads, lr=0.05, **options))


def test_adamw_is_adam_with_decoupled_decay() -> None:
    weights, grads = problem(20)
    by_default, _ = steps(make("numpy"), AdamW(), weights, grads)
    check(make("numpy"), by_default,
          torch_steps(AdamW, weights, grads, lr=0.001, weight_decay=0.01))
    adam, _ = steps(make("numpy"), Adam(weight_decay=0.01, decoupled=True), weights, grads)
    for a, b in zip(by_default, adam, strict=True):
        np.testing.assert_array_equal(a["W"], b["W"])


@pytest.mark.parametrize("cls", OPTIMIZERS)
def test_defaults_are_the_books_or_torchs(cls: type[Optimizer]) -> None:
    weights, grads = problem(10)
    lr = 0.001 if issubclass(cls, Adam) else 0.01
    found, _ = steps(make("numpy"), cls(), weights, grads)
    decay = 0.01 if cls is AdamW else 0.0
    check(make("numpy"), found, torch_steps(cls, weights, grads, lr=lr, weight_decay=decay))


def book_momentum(W: Any, dW: Any, v: Any) -> Any:  # equations 6.3 and 6.4
    v = 0.8 * v - 0.1 * dW
    return W + v, v


def book_nesterov(W: Any, dW: Any, v: Any) -> Any:  # common/optimizer.py
    return W + 0.8 * 0.8 * v - (1 + 0.8) * 0.1 * dW, 0.8 * v - 0.1 * dW


def book_adagrad(W: Any, dW: Any, h: Any) -> Any:  # equations 6.5 and 6.6
    h = h + dW * dW
    return W - 0.1 * dW / (np.sqrt(h) + 1e-7), h


def book_rmsprop(W: Any, dW: Any, h: Any) -> Any:  # common/optimizer.py
    h = 0.8 * h + (1 - 0.8) * dW * dW
    return W - 0.1 * dW / (np.sqrt(h) + 1e-7), h


@pytest.mark.parametrize(("optimizer", "book"), [
    (Momentum(0.1, 0.8), book_momentum),
    (Nesterov(0.1, 0.8), book_nesterov),
    (AdaGrad(0.1, 1e-7), book_adagrad),
    (RMSprop(0.1, 0.8, 1e-7), book_rmsprop),
])
def test_the_books_steps(optimizer: Optimizer, book: Callable[..., Any]) -> None:
    weights, grads = problem(20)
    found, _ = steps(make("numpy"), optimizer, weights, grads)
    W, memory = weights["W"], 0.0
    for p, g in zip(found, grads, strict=True):
        W, memory = book(W, g["W"], memory)
        np.testing.assert_allclose(p["W"], W, rtol=1e-12, atol=1e-14)


def test_adams_numbers_are_taken() -> None:
    # Kingma & Ba, algorithm 1, by hand: two steps of one number.
    b1, b2, eps, lr = 0.5, 0.75, 0.1, 0.2
    m = v = 0.0
    p = 1.0
    grads = [{"p": np.array([g])} for g in (2.0, -1.0)]
    found, states = steps(make("numpy"), Adam(lr, b1, b2, eps), {"p": np.array([p])}, grads)
    for t, g in enumerate([2.0, -1.0], 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        p -= lr * (m / (1 - b1**t)) / ((v / (1 - b2**t)) ** 0.5 + eps)
        np.testing.assert_allclose(found[t - 1]["p"], [p], rtol=1e-14)
        np.testing.assert_allclose(states[t - 1]["m"]["p"], [m], rtol=1e-15)
        np.testing.assert_allclose(states[t - 1]["v"]["p"], [v], rtol=1e-15)


def test_without_memory_adam_takes_the_sign(xp: Variant) -> None:
    weights, grads = problem(2)
    found, _ = steps(xp, Adam(0.5, 0.0, 0.0), weights, grads)
    expected = weights["W"] - 0.5 * sum(np.sign(g["W"]) for g in grads)
    xp.check(found[-1]["W"], expected, rtol=1e-6)


@pytest.mark.parametrize("beta", [0.9, 0.999, 0.99999])
def test_bias_correction_in_float32(xp: Variant, beta: float) -> None:
    t = np.array([1, 2, 10, 1000, 100000], np.float32)
    # 1 - beta**t in float64; in float32 it would be wrong by 6e-8 / (1 - beta), 6e-3 here.
    xp.check(xp.run(lambda t: bias_correction(beta, t), t), 1 - beta ** t.astype(float),
             dtype="float32", rtol=5e-7)


@pytest.mark.parametrize("variant", params("numpy", "strict"))  # which refuses to mix some dtypes
@pytest.mark.parametrize("cls", OPTIMIZERS)
def test_float32_stays_float32(variant: str, cls: type[Optimizer]) -> None:
    xp = make(variant)
    weights, grads = problem(2)
    optimizer = cls(CosineDecay(0.05, 100), weight_decay=0.3, clip_norm=1.0)
    found, states = steps(xp, optimizer, weights, grads, dtype="float32")
    wide, _ = steps(make("numpy"), optimizer, weights, grads)
    for name in weights:
        xp.check(found[-1][name], wide[-1][name], dtype="float32", rtol=1e-5, atol=1e-6)
        for key in cls.memory:
            assert states[-1][key][name].dtype == found[-1][name].dtype
