"""What is said where a GPU has too little memory, and what is left then; `-m cuda`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_training import network, problem, train
from variants import Variant, make, params

from xpnet import SGD, DeviceMemoryError, History, evaluate, fit
from xpnet.training import Checkpoints

WORDS = (r"^GPU 0: Out of memory allocating [\d,]+ bytes \(allocated so far: .*; "
         r"of [\d,]+ bytes, [\d,]+ are free, and [\d,]+ more in pieces in CuPy's pool")


@pytest.fixture(params=params("cupy"))
def xp(request: pytest.FixtureRequest) -> Variant:
    return make(request.param)


@pytest.fixture
def full(xp: Variant) -> Iterator[Any]:
    """Give a function that leaves no memory."""
    import cupy

    pool, held = cupy.get_default_memory_pool(), []

    def fill() -> None:
        pool.free_all_blocks()
        pool.set_limit(size=pool.total_bytes() + 1024)
        size = 1 << 20
        while size >= 512:
            try:
                held.append(cupy.empty(size, "uint8"))
            except MemoryError:
                size //= 2

    yield fill
    held.clear()
    pool.set_limit(size=0)


def test_moving_too_much_there(xp: Variant, full: Any) -> None:
    full()
    with pytest.raises(DeviceMemoryError, match=WORDS):
        xp.backend.asarray(np.zeros(10**6))


def test_evaluating(xp: Variant, full: Any) -> None:
    net, (x, t) = network(xp), problem(xp)
    full()
    with pytest.raises(DeviceMemoryError, match=WORDS):
        evaluate(net, x, t)


@pytest.mark.parametrize("recordable", [True, False])
def test_training_leaves_the_last_checkpoint_and_goes_on_from_it(
    xp: Variant, full: Any, tmp_path: Path, recordable: bool
) -> None:
    x, t = problem(xp)
    right = train(network(xp), x, t, epochs=4)

    class Mine(SGD):
        pass

    def fill(net: object, history: History) -> None:
        if len(history.epochs) == 2:
            full()

    options: dict[str, Any] = {"optimizer": SGD(0.5) if recordable else Mine(0.5), "epochs": 4,
                               "batch_size": 10, "progress": False}
    with pytest.raises(DeviceMemoryError, match=WORDS) as caught:
        fit(network(xp), x, t, checkpoints=Checkpoints(tmp_path, seconds=0), callbacks=[fill], **options)
    assert isinstance(caught.value, MemoryError)
    assert Checkpoints(tmp_path).newest() is not None
    import cupy

    cupy.get_default_memory_pool().set_limit(size=0)
    after = fit(network(xp), x, t, checkpoints=tmp_path, resume=True, **options)
    assert len(after.epochs) == 4
    np.testing.assert_allclose([e.loss for e in after.epochs], [e.loss for e in right.epochs], rtol=1e-9)
