"""A small problem to train on, and how two runs are compared."""

from __future__ import annotations

from typing import Any

import numpy as np
from variants import Variant, make

from xpnet import SGD, History, MultiLayerNet, Network, TwoLayerNet, fit

OPTIONS: dict[str, Any] = {"epochs": 3, "batch_size": 10, "progress": False}


def problem(xp: Variant, rows: int = 60) -> tuple[Any, Any]:
    """Give points on a plane, of three classes that lines divide."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, 2))
    t = np.digitize(x[:, 0] - x[:, 1], [-0.7, 0.7])
    return xp.asarray(x), xp.asarray(t.astype("uint8"))


def network(xp: Variant, seed: Any = 0, backend: Any = None) -> TwoLayerNet:
    """Make a network for it."""
    return TwoLayerNet(2, 16, 3, "he", seed=seed, backend=backend or xp.backend, dtype="float64")


def deep_network(xp: Variant, seed: Any = 0) -> MultiLayerNet:
    """Make one with state and with random numbers."""
    return MultiLayerNet(2, [8, 8], 3, use_dropout=True, dropout_ration=0.3, use_batchnorm=True,
                         seed=seed, backend=xp.backend, dtype="float64")


def train(net: Network, x: Any, t: Any, **options: Any) -> History:
    """Train shortly."""
    return fit(net, x, t, **{"optimizer": SGD(0.5), **OPTIONS, **options})


def on_numpy() -> tuple[Any, Any]:
    """Give the problem in NumPy's arrays."""
    return problem(make("numpy"))


def values(net: Network) -> dict[str, Any]:
    """Give a copy of all that a network has learnt, on the host."""
    from xpnet import backend_of

    held = {**net.params, **net.state}
    return {name: np.array(backend_of(a).to_numpy(a)) for name, a in held.items()}


def assert_equal(found: Network | dict[str, Any], expected: Network | dict[str, Any],
                 rtol: float = 0, atol: float = 0) -> None:
    """Compare what two networks have learnt, by default bit for bit."""
    __tracebackhide__ = True
    a, b = (values(net) if isinstance(net, Network) else net for net in (found, expected))
    assert a.keys() == b.keys()
    for name, value in b.items():
        np.testing.assert_allclose(a[name], value, rtol=rtol, atol=atol, err_msg=name)


def without_times(history: History) -> list[tuple[Any, ...]]:
    """Give all that a history says but the times."""
    return [(e.epoch, e.loss, dict(e.validation)) for e in history.epochs]
