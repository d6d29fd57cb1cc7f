from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_training import assert_equal, deep_network, network, on_numpy, train
from variants import make, params

from xpnet import (
    SGD,
    Affine,
    Checkpoints,
    Dropout,
    EarlyStopping,
    History,
    MultiLayerNet,
    Network,
    NonFiniteLossError,
    Relu,
    Residual,
    Sequential,
    SoftmaxWithLoss,
    TwoLayerNet,
)
from xpnet.functional._array import array_namespace
from xpnet.initializers import Initializer
from xpnet.layers import Layer

pytestmark = pytest.mark.filterwarnings("ignore:(invalid|overflow|divide)")


class Spoils(Layer):
    """Lets all through until a value is large; then it is NaN, forward or backward."""

    def __init__(self, where: str, from_size: float) -> None:
        super().__init__()
        self.where, self.from_size = where, from_size
        self.large: Any = None

    def forward(self, x: Any) -> Any:
        xp = array_namespace(x)
        self.large = xp.any(xp.abs(x) > self.from_size)
        return xp.where(self.large, float("nan"), x) if self.where == "forward" else x

    def backward(self, dout: Any) -> Any:
        spoilt = array_namespace(dout).where(self.large, float("inf"), dout)
        return spoilt if self.where == "backward" else dout


def deep(xp: Any, where: str) -> Network:
    """Bury a layer that breaks as the weights grow."""
    draw = Initializer(seed=0, backend=xp.backend, dtype="float64")
    inner = Sequential({"first": Affine(*draw.affine(16, 16)), "spoils": Spoils(where, 16.0)})
    return Network([Affine(*draw.affine(2, 16)), Residual([Relu(), inner]),
                    Affine(*draw.affine(16, 3))])


@pytest.mark.parametrize(("where", "words"), [
    ("forward", (r"the loss became nan at step (\d) of epoch (\d+); at step \1 the output of "
                 r"Residual1.body.Sequential1.spoils held the first NaN or infinity: a smaller")),
    ("backward", r"at step \d a gradient of Residual1.body.Sequential1.spoils held the first NaN"),
])
@pytest.mark.parametrize("variant", params("numpy", "torch", "strict"))
def test_a_layer_deep_within_is_named(variant: str, where: str, words: str) -> None:
    xp = make(variant)
    x, t = (xp.asarray(a) for a in on_numpy())
    net = deep(xp, where)
    kept: list[Any] = []
    history = History()
    with pytest.raises(NonFiniteLossError, match=words):
        train(net, x, t, epochs=99, optimizer=SGD(0.7), history=history,
              callbacks=[lambda net, _: kept.append({k: xp.backend.to_numpy(p).copy()
                                                     for k, p in net.params.items()})])
    assert len(history.epochs) == len(kept) > 0
    for name, p in net.params.items():
        np.testing.assert_array_equal(xp.backend.to_numpy(p), kept[-1][name])


class InfiniteLoss(SoftmaxWithLoss):
    def forward(self, x: Any, t: Any, sample_weight: Any = None) -> Any:
        self.loss = super().forward(x, t, sample_weight)
        if float(array_namespace(x).max(abs(x))) > 3:
            self.loss = self.loss + float("inf")
        return self.loss


class InfiniteGradient(SoftmaxWithLoss):
    def backward(self, dout: Any = 1) -> Any:
        dx = super().backward(dout)
        return dx * float("inf") if float(array_namespace(dx).max(abs(self.x))) > 3 else dx


class NanFrom(SGD):
    """An optimiser that makes NaN from so many steps on."""

    def __init__(self, step: int) -> None:
        super().__init__(lambda count: 0.1 + 0 * count)  # so that it counts
        self.step = step

    def update(self, params: Any, grads: Any, state: Any, *, stack_axes: int = 0) -> Any:
        params, state = super().update(params, grads, state, stack_axes=stack_axes)
        factor = float("nan") if int(state["step"]) >= self.step else 1.0
        return {name: p * factor for name, p in params.items()}, state


def test_what_is_not_a_layer() -> None:
    x, t = on_numpy()
    draw = Initializer("he", seed=0)
    for loss, words in (
        (InfiniteLoss(),
         r"the loss became inf at step (\d) of epoch \d; at step \1 the loss of InfiniteLoss"),
        (InfiniteGradient(), "the gradient of InfiniteGradient held the first NaN"),
    ):
        net = Network([Affine(*draw.affine(2, 3))], loss)
        with pytest.raises(NonFiniteLossError, match=words):
            train(net, x, t, epochs=99, optimizer=SGD(2.0))
    for step, when in ((3, "step 4 of epoch 1"), (6, "step 6 of epoch 1"), (8, "step 3 of epoch 2")):
        net = network(make("numpy"))
        with pytest.raises(NonFiniteLossError) as caught:
            train(net, x, t, optimizer=NanFrom(step), history=History())
        at = (step - 1) % 6 + 1
        assert f"; at step {at} the optimiser's update held the first NaN" in str(caught.value)
        assert when in str(caught.value)
    assert all(np.isfinite(p).all() for p in net.params.values())


@pytest.mark.parametrize(("interval", "updates"), [(0.0, 5 + 1), (1e9, 6 + 4)])
def test_only_steps_since_the_last_look_are_gone_again(
    interval: float, updates: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []

    class Counting(NanFrom):
        def update(self, *args: Any, **options: Any) -> Any:
            taken.append(1)
            return super().update(*args, **options)

    monkeypatch.setattr("xpnet.training.pace.INTERVAL", interval)
    monkeypatch.setattr("xpnet.training.pace.SHARE", float("inf"))
    with pytest.raises(NonFiniteLossError, match="at step 5 the optimiser's update"):
        train(network(make("numpy")), *on_numpy(), optimizer=Counting(5))
    assert len(taken) == updates


def test_a_penalty_that_overflows() -> None:
    x, t = on_numpy()
    net = MultiLayerNet(2, [4], 3, weight_decay_lambda=1e-200, seed=0)
    net.params["W1"] = net.params["W1"] * 0 + 1e200
    net.params["W2"] = net.params["W2"] * 0
    with pytest.raises(NonFiniteLossError, match="what the network adds to the loss held the first"):
        train(net, x, t, optimizer=SGD(1e-250))


def test_the_last_checkpoint_is_named(tmp_path: Path) -> None:
    x, t = on_numpy()
    net, expected = network(make("numpy")), network(make("numpy"))
    with pytest.raises(NonFiniteLossError) as caught:
        train(net, x, t, optimizer=NanFrom(9), checkpoints=Checkpoints(tmp_path, seconds=0))
    assert str(caught.value).endswith(f"the last checkpoint is {tmp_path}/step-00000008.safetensors")
    train(expected, x, t, epochs=1, optimizer=SGD(0.1))
    assert_equal(net, expected, rtol=1e-12)
    net = network(make("numpy"))
    with pytest.raises(NonFiniteLossError, match=r"a smaller learning rate may help$"):
        train(net, x, t, optimizer=NanFrom(3), checkpoints=tmp_path / "none")
    # A smaller learning rate, from there: the same optimiser has another number.
    history = train(net, x, t, optimizer=NanFrom(10**9), checkpoints=tmp_path, resume=True)
    assert len(history.epochs) == 3


def test_a_stack_goes_on_while_one_network_is_left() -> None:
    x, t = on_numpy()
    net = network(make("numpy"), seed=[0, 1, 2])
    with pytest.raises(NonFiniteLossError, match=r"the loss became \[.*\] at step (\d) of epoch \d; "
                       r"at step \1 the output of Affine\d held the first NaN"):
        train(net, x, t, epochs=9, optimizer=SGD([1e300, 1e301, 1e300]))
    dying = network(make("numpy"), seed=[0, 1])
    history = train(dying, x, t, optimizer=SGD([0.5, 1e300]), seed=[3, 4], validation=(x, t),
                    early_stopping=EarlyStopping(5))
    alone = network(make("numpy"), seed=0)
    expected = train(alone, x, t, seed=3, validation=(x, t))
    assert history.curve("loss", 0) == pytest.approx(expected.curve("loss"), rel=1e-12)
    assert np.isnan(history.curve("loss", 1)[-1])
    for name, p in alone.params.items():
        np.testing.assert_allclose(dying.params[name][0], p, rtol=1e-12, atol=1e-15)


class SpoilsWhatWasDropped(Layer):
    """Makes NaN of all if the first element was dropped."""

    def forward(self, x: Any) -> Any:
        return x * (float("nan") if x[0, 0] == 0 else 1)

    def backward(self, dout: Any) -> Any:
        return dout


@pytest.mark.parametrize("seed", range(8))
def test_the_same_random_numbers_are_drawn_again(seed: int) -> None:
    x, t = on_numpy()
    net = Network([Dropout(0.5, seed=seed), SpoilsWhatWasDropped(),
                   Affine(*Initializer(seed=0).affine(2, 3))])
    with pytest.raises(NonFiniteLossError, match="the output of SpoilsWhatWasDropped1 held the first"):
        train(net, x, t, epochs=9, seed=5)


def test_where_is_looked_for_in_a_network_with_random_numbers() -> None:
    x, t = on_numpy()
    net = deep_network(make("numpy"))
    with pytest.raises(NonFiniteLossError, match=r"at step \d the output of Affine\d held"):
        train(net, x, t, optimizer=SGD(1e200))
    assert_equal(net, deep_network(make("numpy")))


@pytest.mark.parametrize("library", params("numpy", "strict", "torch", "jax", "cupy"))
def test_the_step_that_went_wrong_is_looked_at_as_it_began(library: str) -> None:
    xp = make(library)
    rng = np.random.default_rng(0)
    x, t = xp.asarray(100 * rng.standard_normal((60, 4)), "float32"), xp.asarray(rng.integers(0, 3, 60))

    def rate(step: Any) -> Any:
        return xp.namespace.where(step < 15, 0.1 + 0 * step, 3e38 + 0 * step)

    net = TwoLayerNet(4, 8, 3, "he", seed=0, backend=xp.backend, dtype="float32")
    with pytest.raises(NonFiniteLossError, match="at step 4 the optimiser's update held"):
        train(net, x, t, optimizer=SGD(rate), epochs=4, seed=1)
