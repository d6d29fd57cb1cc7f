from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from variants import Variant, installed

from xpnet.functional import random_bits
from xpnet.layers import Dropout
from xpnet.testing import check_layer

X = np.random.default_rng(0).standard_normal((3, 5))
DOUT = np.random.default_rng(1).standard_normal((3, 5))


def mask(seed: int, step: int, stream: int = 0, ratio: float = 0.5) -> NDArray[Any]:
    return random_bits(np.array([seed, step], np.int32), stream, (3, 5)) >= 65536 * ratio


def test_in_training_it_multiplies_by_a_mask_that_is_not_scaled(xp: Variant) -> None:
    def both(x: Any, dout: Any, counter: Any) -> Any:
        layer = Dropout(0.25).bind({}, counter=counter)
        layer.stream = 2
        return layer.forward(x), layer.backward(dout)

    kept = mask(3, 4, 2, 0.25)
    y, dx = xp.run(both, X, DOUT, np.array([3, 4], np.int32))
    xp.check_all((y, dx), (X * kept, DOUT * kept), rtol=0)


def test_at_inference_it_scales(xp: Variant) -> None:
    def both(x: Any, dout: Any) -> Any:
        layer = Dropout(0.25).bind({})
        layer.forward(x)  # of whose mask nothing may stay
        return layer.forward(x, train_flg=False), layer.backward(dout)

    xp.check_all(xp.run(both, X, DOUT), (0.75 * X, 0.75 * DOUT), rtol=1e-15)


def test_on_its_own_it_counts_the_forwards_in_training(eager: Variant) -> None:
    layer, x = Dropout(seed=-5), eager.asarray(X)
    for step in (0, 1):
        eager.check(layer.forward(x), X * mask(-5, step), rtol=0)
        eager.check(layer.mask, mask(-5, step) * 1.0, rtol=0)
        layer.forward(x, train_flg=False)
        assert layer.mask is None
    bound = layer.bind({})
    for _ in range(2):  # a copy draws what is next, and does not count
        eager.check(bound.forward(x), X * mask(-5, 2), rtol=0)
    assert layer.step == 2


def test_seeds_and_steps_of_any_size(eager: Variant) -> None:
    layer, x = Dropout(seed=2**40 + 2**31 + 1), eager.asarray(X)
    layer.step = 2**33 - 1
    eager.check(layer.forward(x), X * mask(1 - 2**31, -1), rtol=0)
    eager.check(layer.forward(x), X * mask(1 - 2**31, 0), rtol=0)


def test_members_of_a_stack_have_the_masks_that_they_had_alone(eager: Variant) -> None:
    seeds = (8, 9, 10, 11)
    masks = np.stack([mask(seed, 0) for seed in seeds])
    stack, dout = X * np.arange(1.0, 5)[:, None, None], DOUT * np.arange(2.0, 6)[:, None, None]
    for x, given in ((X, seeds), (X[None], [*seeds]), (stack, np.array(seeds))):
        layer = Dropout(seed=given)
        eager.check(layer.forward(eager.asarray(x)), x * masks, rtol=0)
        dx = dout * masks
        eager.check(layer.backward(eager.asarray(dout)), dx.sum(0) if x.ndim == 2 else dx,
                    rtol=1e-14)


def test_a_counter_of_a_stack(xp: Variant) -> None:
    counters = np.array([[8, 3], [9, 7], [10, 3], [8, 4]], np.int32)
    masks = np.stack([mask(*counter) for counter in counters])
    stack = X * np.arange(1.0, 5)[:, None, None]
    for x in (X, stack):
        y = xp.run(lambda x, c: Dropout().bind({}, counter=c).forward(x), x, counters)
        xp.check(y, x * masks, rtol=0)


def test_one_counter_makes_one_mask_for_a_stack(xp: Variant) -> None:
    def forward(x: Any) -> Any:
        layer = Dropout(seed=8).bind({})
        layer.stack_axes = 1
        return layer.forward(x)

    stack = X * np.arange(1.0, 5)[:, None, None]
    xp.check(xp.run(forward, stack), stack * mask(8, 0), rtol=0)
    xp.check(xp.run(forward, X), X * mask(8, 0), rtol=0)


def test_images_for_all_of_a_stack_have_a_mask_each(xp: Variant) -> None:
    def forward(x: Any, counter: Any) -> Any:
        layer = Dropout().bind({}, counter=counter)
        layer.stack_axes = 1
        return layer.forward(x)

    images, counters = np.ones((6, 1, 4, 4)), np.array([[8, 0], [9, 0]], np.int32)
    masks = np.stack([random_bits(c, 0, images.shape) >= 32768 for c in counters]) * 1.0
    xp.check(xp.run(forward, images, counters[0]), masks[0], rtol=0)
    xp.check(xp.run(forward, images[None], counters[0]), masks[:1], rtol=0)
    for x in (images, images[None], np.stack([images, images])):
        xp.check(xp.run(forward, x, counters), masks, rtol=0)


def test_an_empty_batch(xp: Variant) -> None:
    def both(x: Any) -> Any:
        layer = Dropout().bind({})
        return layer.forward(x), layer.backward(x)

    xp.check_all(xp.run(both, np.ones((0, 5))), [np.ones((0, 5))] * 2)


def test_numpys_numbers_leave_the_dtype(eager: Variant) -> None:
    x, layer = eager.asarray(X.astype("float32")), Dropout(np.float64(0.5))
    for train_flg in (True, False):
        assert layer.forward(x, train_flg).dtype == layer.backward(x).dtype == x.dtype


def test_ratios() -> None:
    np.testing.assert_array_equal(Dropout(0).forward(X), X)
    np.testing.assert_array_equal(Dropout().forward(X), X * mask(0, 0, ratio=0.5))
    assert np.mean(Dropout(0.9).forward(np.ones((100, 100))) == 0) == pytest.approx(0.9, abs=0.02)
    for ratio in (-0.1, 1, 1.5, float("nan"), "0.5"):
        with pytest.raises((TypeError, ValueError), match=r"dropout_ratio (from 0 to below 1|to be .*); got "):
            Dropout(ratio)  # type: ignore[arg-type]


def test_what_is_refused(eager: Variant) -> None:
    layer = Dropout()
    with pytest.raises(RuntimeError, match=r"Dropout.backward wants a forward before it"):
        layer.backward(eager.asarray(DOUT))
    with pytest.raises(TypeError, match=r"Dropout wants a real floating dtype; got .*int64"):
        layer.forward(eager.asarray(np.ones((2, 3), "int64")))
    layer.forward(eager.asarray(X), train_flg=False)
    with pytest.raises(ValueError, match=r"Dropout wants dout of shape \(3, 5\); got \(3, 1\)"):
        layer.backward(eager.asarray(DOUT[:, :1]))
    for train_flg in (True, False):
        layer.forward(eager.asarray(np.ones((1, 3, 4, 4))), train_flg)
        with pytest.raises(ValueError, match=r"Dropout wants dout of shape \(1, 3, 4, 4\); got \(7, 3"):
            layer.backward(eager.asarray(np.ones((7, 3, 4, 4))))
    message = r"Dropout wants a whole number or a sequence of them for a seed; got "
    for seed in (1.5, "1", [1, None]):
        with pytest.raises(TypeError, match=message):
            Dropout(seed=seed)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"Dropout wants at least one seed; got none"):
        Dropout(seed=[])


def test_it_stands_the_checks_of_layers() -> None:
    report = check_layer(Dropout().bind({}), X)
    assert report, str(report)
    report = check_layer(Inference(0.25), X)
    assert report, str(report)


class Inference(Dropout):
    def forward(self, x: Any, train_flg: bool = False) -> Any:
        return super().forward(x, train_flg)


def test_flags() -> None:
    assert Dropout.has_train_flg
    assert Dropout.draws
    assert len(Dropout().params) == len(Dropout().state) == 0


@pytest.mark.skipif(not installed("jax"), reason="jax is not installed")
def test_under_jit_a_plain_layer_says_bind() -> None:
    import jax

    layer = Dropout()
    with pytest.raises(TypeError, match=r"would leak: bind it first"):
        jax.jit(layer.forward)(jax.numpy.ones((3, 5)))
    assert layer.mask is None
    assert layer.step == 0
