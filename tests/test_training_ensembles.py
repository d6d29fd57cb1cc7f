"""Stacks of networks: an ensemble, or a sweep, trained as one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_training import assert_equal, deep_network, on_numpy, problem, train, values
from variants import make, params

from xpnet import (
    SGD,
    Adam,
    Checkpoints,
    EarlyStopping,
    History,
    Momentum,
    Network,
    SimpleConvNet,
    Warmup,
)

LIBRARIES = params("numpy", "torch", "strict")
SEEDS = [3, 8, 5]


def assert_member(stack: Network, k: int, alone: Network) -> None:
    held = values(stack)
    assert_equal({name: a[k] for name, a in held.items()}, alone, rtol=1e-9, atol=1e-12)


def assert_curves(history: History, k: int, alone: History) -> None:
    for name in ("loss", "validation loss", "accuracy"):
        expected = alone.curve(name)
        np.testing.assert_allclose(history.curve(name, k)[:len(expected)], expected, rtol=1e-9)


@pytest.mark.parametrize("variant", LIBRARIES)
def test_members_of_k_seeds_are_their_separate_runs(variant: str) -> None:
    xp = make(variant)
    x, t = problem(xp)
    stack = deep_network(xp, SEEDS)
    history = train(stack, x, t, seed=SEEDS, optimizer=Momentum(0.1), validation=(x, t))
    assert history.members == 3
    for k, seed in enumerate(SEEDS):
        alone = deep_network(xp, seed)
        of_one = train(alone, x, t, seed=seed, optimizer=Momentum(0.1), validation=(x, t))
        assert_member(stack, k, alone)
        assert_curves(history, k, of_one)
    # Each has its own order and its own masks: members of one seed at the beginning part.
    of_one_seed = deep_network(xp, [3, 3])
    train(of_one_seed, x, t, seed=[1, 2], epochs=1)
    W = values(of_one_seed)["W1"]
    assert np.abs(W[0] - W[1]).max() > 1e-3


@pytest.mark.parametrize("variant", LIBRARIES)
def test_a_sweep_shares_seed_and_batches(variant: str) -> None:
    xp = make(variant)
    x, t = problem(xp)
    rates: list[Any] = [0.1, 0.5, Warmup(0.3, 5)]
    stack = deep_network(xp, [4, 4, 4])
    history = train(stack, x, t, seed=7, optimizer=SGD(rates), validation=0.2, batch_size=8)
    for k, rate in enumerate(rates):
        alone = deep_network(xp, 4)
        of_one = train(alone, x, t, seed=7, optimizer=SGD(rate), validation=0.2, batch_size=8)
        assert_member(stack, k, alone)
        assert_curves(history, k, of_one)


@pytest.mark.parametrize("seeds", [[0, 1], 0], ids=["own orders", "one order"])
def test_networks_of_images(seeds: Any) -> None:
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((24, 1, 8, 8)), rng.integers(0, 3, 24)
    conv = {"filter_num": 2, "filter_size": 3, "pad": 0, "stride": 1}

    def make_network(seed: Any) -> Network:
        return SimpleConvNet((1, 8, 8), conv, 5, 3, "he", seed=seed, dtype="float64")

    stack = make_network([0, 1])
    options: dict[str, Any] = {"optimizer": Adam(0.01), "batch_size": 6, "validation": (x, t),
                               "epochs": 2}
    history = train(stack, x, t, seed=seeds, **options)
    for k in (0, 1):
        alone = make_network(k)
        of_one = train(alone, x, t, seed=seeds[k] if isinstance(seeds, list) else seeds, **options)
        assert_member(stack, k, alone)
        assert_curves(history, k, of_one)


@pytest.mark.parametrize("variant", params("torch"))
def test_a_batch_norm_of_shared_images_or_rows_streams_too(variant: str) -> None:
    xp = make(variant)
    x, t = problem(xp)
    streamed, resident = deep_network(xp, SEEDS), deep_network(xp, SEEDS)
    for seed in (SEEDS, 4):
        train(resident, x, t, seed=seed, epochs=1)
        train(streamed, *on_numpy(), seed=seed, epochs=1)
        assert_equal(streamed, resident)


def test_each_member_stops_with_its_own_best_weights() -> None:
    x, t = on_numpy()
    # Of wrong labels, the loss rises sooner or later, by the learning rate.
    wrong = np.where(np.arange(60) % 3 == 0, (t + 1) % 3, t)
    rates = [0.01, 0.3, 3.0]
    options: dict[str, Any] = {"validation": (x, wrong), "epochs": 12, "seed": 1,
                               "early_stopping": EarlyStopping(2, "accuracy")}
    stack = deep_network(make("numpy"), [2, 2, 2])
    history = train(stack, x, t, optimizer=SGD(rates), **options)
    ends = []
    for k, rate in enumerate(rates):
        alone = deep_network(make("numpy"), 2)
        of_one = train(alone, x, t, optimizer=SGD(rate), **options)
        ends.append(len(of_one.epochs))
        assert_member(stack, k, alone)
        assert_curves(history, k, of_one)
    assert len(history.epochs) == max(ends)
    assert len(set(ends)) > 1


@pytest.mark.filterwarnings("ignore:(invalid|overflow|divide)")
@pytest.mark.parametrize("variant", LIBRARIES)
def test_a_member_that_comes_to_nothing_does_not_stop_the_others(variant: str, tmp_path: Any) -> None:
    xp = make(variant)
    x, t = problem(xp)
    stack = deep_network(xp, [1, 1, 1])
    options: dict[str, Any] = {"seed": 2, "validation": (x, t), "early_stopping": EarlyStopping(9)}
    history = train(stack, x, t, optimizer=SGD([0.1, 1e300, 0.5]),
                    checkpoints=Checkpoints(tmp_path, seconds=0), **options)
    assert np.isnan(history.curve("loss", 1)[-1])
    for k, rate in ((0, 0.1), (2, 0.5)):
        alone = deep_network(xp, 1)
        assert_curves(history, k, train(alone, x, t, optimizer=SGD(rate), **options))
        assert_member(stack, k, alone)
    again = deep_network(xp, [0, 0, 0])
    resumed = train(again, x, t, optimizer=SGD([0.1, 1e300, 0.5]), checkpoints=tmp_path,
                    resume=True, **options)
    assert resumed.curve("loss", 0) == history.curve("loss", 0)


def test_one_network_of_a_stack_of_one() -> None:
    x, t = on_numpy()
    stack, alone = deep_network(make("numpy"), [6]), deep_network(make("numpy"), 6)
    for seed in ([4], 4):
        history = train(stack, x, t, seed=seed, validation=(x, t))
        expected = train(alone, x, t, seed=4, validation=(x, t))
        assert history.members == 1
        assert_curves(history, 0, expected)
        assert_member(stack, 0, alone)
