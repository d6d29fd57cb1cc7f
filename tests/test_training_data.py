from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_training import assert_equal, network, on_numpy, train, without_times
from variants import Variant, make, params

from xpnet import SGD, EarlyStopping
from xpnet.training.batches import epoch_batches
from xpnet.training.data import AHEAD, Data, lies_on_host

ORDER = epoch_batches(60, 10, 0, 1)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert workers() == []


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "xpnet batches"]


class Counting(np.memmap):
    """A file larger than what may be read at once: it says what was read, and refuses too much."""

    reads: list[int]
    most = 20

    def __getitem__(self, key: Any) -> Any:
        out = super().__getitem__(key)
        rows = len(out) if np.ndim(out) else 1
        assert rows <= self.most, f"{rows} rows read at once"
        self.reads.append(rows)
        return out

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("the whole file is read")


def counting(folder: Path, x: Any) -> Counting:
    path = folder / "x.dat"
    x.tofile(path)
    made = Counting(path, dtype=x.dtype, mode="r", shape=x.shape)
    made.reads = []
    return made


def host(xp: Variant, batch: Any) -> dict[str, Any]:
    """Give a batch as it is trained on, whether it was brought or is taken."""
    arrays, rows = batch
    return {name: xp.backend.to_numpy(a) if rows is None
            else xp.backend.to_numpy(a)[xp.backend.to_numpy(rows)] for name, a in arrays.items()}


@pytest.mark.parametrize("indexed", [False, True])
def test_streamed_batches_are_the_resident_ones(eager: Variant, indexed: bool) -> None:
    x, t = on_numpy()
    resident = Data(eager.backend, {"x": eager.asarray(x), "t": eager.asarray(t)})
    streamed = Data(eager.backend, {"x": x, "t": t})
    index = np.arange(60)[::-1][::2]
    order = ORDER
    if indexed:
        resident, streamed = resident.take(index), streamed.take(index)
        order = epoch_batches(30, 10, 0, 1)
    assert resident.rows == streamed.rows == (30 if indexed else 60)
    for first in (0, 2):
        pairs = list(zip(resident.batches(order, first), streamed.batches(order, first),
                         order[first:], strict=True))
        for a, b, rows in pairs:
            for name, whole in (("x", x), ("t", t)):
                expected = whole[index][rows] if indexed else whole[rows]
                np.testing.assert_array_equal(host(eager, a)[name], expected)
                np.testing.assert_array_equal(host(eager, b)[name], expected)
    for data in (resident, streamed):
        eager.check(data.part("x", 4, 9), (x[index] if indexed else x)[4:9])
        np.testing.assert_array_equal(data.on_host("t"), t[index] if indexed else t)


def test_an_index_of_an_index() -> None:
    x, t = on_numpy()
    data = Data(make("numpy").backend, {"x": x, "t": t})
    rows = data.take(np.arange(10, 60)).take(np.array([3, 0]))
    np.testing.assert_array_equal(rows.part("x", 0, 2), x[[13, 10]])
    assert rows.arrays["x"] is x  # no copy


def test_what_lies_on_the_host(tmp_path: Path) -> None:
    x, _ = on_numpy()
    numpy, other = make("numpy").backend, make("strict").backend
    assert not lies_on_host(x, numpy)
    assert lies_on_host(x, other)
    assert lies_on_host(counting(tmp_path, x), numpy)
    assert not lies_on_host(other.asarray(x), other)


@pytest.mark.parametrize("variant", params("numpy", "torch"))
def test_a_file_is_never_read_whole(
    variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    xp = make(variant)
    x, t = on_numpy()
    file = counting(tmp_path, x)
    net, expected = network(xp), network(xp)
    monkeypatch.setattr("xpnet.training.checks.CHUNK", 20 * 2)
    history = train(net, file, t, validation=0.25, batch_size=15)
    # Two rows are tried, one of the validation data; all are looked at once; then each is read in each
    # epoch, to train on or to validate with.
    assert sum(file.reads) == 2 + 60 + 1 + 3 * 60
    whole = train(expected, xp.asarray(x), xp.asarray(t), validation=0.25, batch_size=15)
    assert_equal(net, expected)
    assert without_times(history) == without_times(whole)


@pytest.mark.parametrize("variant", params("torch", "jax", "strict"))
def test_streaming_is_resident_training_bit_for_bit(variant: str) -> None:
    xp = make(variant)
    x, t = on_numpy()
    weight = np.linspace(0, 1, 60)
    streamed, resident = network(xp), network(xp)
    histories = [
        train(net, *data, sample_weight=w, validation=0.2, epochs=2)
        for net, data, w in ((streamed, (x, t), weight),
                             (resident, (xp.asarray(x), xp.asarray(t)), xp.asarray(weight)))
    ]
    assert_equal(streamed, resident)
    assert without_times(histories[0]) == without_times(histories[1])


@pytest.mark.parametrize("variant", params("torch"))
def test_labels_on_the_device_of_inputs_on_the_host(variant: str) -> None:
    xp = make(variant)
    x, t = on_numpy()
    mixed, expected = network(xp), network(xp)
    train(mixed, x, xp.asarray(t))
    train(expected, x, t)
    assert_equal(mixed, expected)


def test_a_stack_with_an_order_each_is_streamed(tmp_path: Path) -> None:
    xp = make("numpy")
    x, t = on_numpy()
    streamed, resident = network(xp, seed=[0, 1]), network(xp, seed=[0, 1])
    file = np.memmap(tmp_path / "x", x.dtype, "w+", shape=x.shape)
    file[...] = x
    train(streamed, file, t, seed=[5, 6])
    train(resident, x, t, seed=[5, 6])
    assert_equal(streamed, resident)


def test_the_thread_is_ahead_by_so_many_batches_and_no_more(tmp_path: Path) -> None:
    x, t = on_numpy()
    file = counting(tmp_path, x)
    batches = Data(make("numpy").backend, {"x": file, "t": t}).batches(ORDER, 0)
    assert file.reads == []  # it begins when a batch is wanted
    for taken in (1, 2, 3):
        next(batches)
        end = time.monotonic() + 5
        while len(file.reads) < taken + AHEAD and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(0.02)
        assert len(file.reads) == taken + AHEAD
        assert len(workers()) == 1
    batches.close()  # type: ignore[attr-defined]
    assert workers() == []


class Broken(Counting):
    """A file whose disk fails."""

    after = 4

    def __getitem__(self, key: Any) -> Any:
        if len(self.reads) >= self.after:
            raise OSError(5, "Input/output error", "x.dat")
        return super().__getitem__(key)


def test_an_error_comes_out_where_the_batch_is_wanted(tmp_path: Path) -> None:
    x, t = on_numpy()
    file = counting(tmp_path, x).view(Broken)
    file.reads = []
    batches = Data(make("numpy").backend, {"x": file, "t": t}).batches(ORDER, 0)
    for _ in range(4):
        next(batches)
    with pytest.raises(OSError, match="Input/output error"):
        next(batches)
    assert workers() == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_the_thread_ends_when_the_loop_raises(
    error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, t = on_numpy()
    monkeypatch.setattr("xpnet.training.checks.CHUNK", 20 * 2)

    class Raising(SGD):
        steps = 0

        def update(self, *args: Any, **options: Any) -> Any:
            self.steps += 1
            if self.steps == 3:
                raise error
            return super().update(*args, **options)

    with pytest.raises(error):
        train(network(make("numpy")), counting(tmp_path, x), t, optimizer=Raising())
    assert workers() == []


def test_the_thread_ends_when_training_stops_early() -> None:
    x, t = on_numpy()
    xp = make("strict")
    train(network(xp), x, t, validation=(x, (t + 1) % 3), early_stopping=EarlyStopping(1))
    assert workers() == []
