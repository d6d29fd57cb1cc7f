"""What of training on several ranks can be seen without any: by one process, sockets and threads."""

from __future__ import annotations

import queue
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from xpnet import SGD, Affine, BatchNormalization, Dropout, MultiLayerNet, Network, fit, get_backend
from xpnet._sums import HostSums
from xpnet.distributed import Ranks, check_alike, watcher
from xpnet.distributed.errors import is_common
from xpnet.distributed.gradient_sum import GradientSum
from xpnet.distributed.interrupts import Interrupts
from xpnet.training.pace import Pace


@pytest.fixture
def watched() -> Iterator[Any]:
    """Let a watcher in a thread watch over three ranks; give their connections and what it says."""
    said: queue.Queue[str] = queue.Queue()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=lambda: said.put(watcher.watch(server, 3, "secret")), daemon=True)
        thread.start()

        def call(words: str) -> socket.socket:
            connection = socket.create_connection(server.getsockname())
            connection.sendall(words.encode())
            return connection

        with call("another rank 0\n"):  # knows no secret, and does not count
            yield [call(f"secret rank {k}\n") for k in range(3)], said
        thread.join(10)


def test_the_watcher_says_who_died_first(watched: Any) -> None:
    ranks, said = watched
    time.sleep(0.5)  # until it has heard of all of them
    for k in (1, 0, 2):
        ranks[k].close()
    assert said.get(timeout=10) == ("rank 1 has died: it was killed, or crashed; the other ranks end with it")


def test_the_watcher_says_nothing_of_those_that_took_leave(watched: Any) -> None:
    ranks, said = watched
    for rank in ranks:
        rank.sendall(watcher.GOODBYE)
        rank.close()
    assert said.get(timeout=10) == ""


def test_the_watcher_says_nothing_once_a_rank_has_said_why_all_end(watched: Any) -> None:
    ranks, said = watched
    ranks[1].sendall(watcher.THE_END)
    assert said.get(timeout=10) == ""
    for rank in ranks:
        rank.close()


def test_a_rank_that_dies_after_others_took_leave(watched: Any) -> None:
    ranks, said = watched
    for rank in ranks[:2]:
        rank.sendall(watcher.GOODBYE)
        rank.close()
    ranks[2].close()
    assert said.get(timeout=10).startswith("rank 2 has died")


def test_a_process_alone() -> None:
    with Ranks() as ranks:
        assert (ranks.rank, ranks.size, ranks.local, ranks.sharing) == (0, 1, 0, 1)
        assert ranks.gather({"a": 1}) == [{"a": 1}]
        assert ranks.broadcast([1, 2]) == [1, 2]
        assert ranks.first(lambda: 3) == 3
        assert ranks.add([1, 2]) == [1, 2]
        assert ranks.settle("words") == "words"
        ranks.check()
    check_alike(ranks, {"anything": 1})


class Rank(Ranks):
    """One of several, of which nobody is asked."""

    def __init__(self, rank: int, size: int) -> None:
        super().__init__()
        self.rank, self.size = rank, size

    def gather(self, value: Any) -> list[Any]:
        return [value] * self.size


@pytest.mark.parametrize("rows", [1, 3, 7, 64, 100])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_every_row_is_one_rank_s(rows: int, size: int) -> None:
    parts = [Rank(k, size).part(rows) for k in range(size)]
    assert [row for part in parts for row in range(rows)[part]] == list(range(rows))
    assert {p.stop - p.start for p in parts} <= {rows // size, rows // size + 1}
    assert Rank(0, size).part(rows, size - 1) == parts[-1]


def test_what_ranks_differ_in_is_named() -> None:
    class Other(Rank):
        def gather(self, value: Any) -> list[Any]:
            return [value, value, [["epochs", 3], ["data", "x" * 200]]]

    ranks = Other(0, 3)
    with pytest.raises(ValueError, match="all ranks want the same epochs; rank 0 has 2, rank 2 3"):
        check_alike(ranks, {"epochs": 2, "data": "x" * 200})
    with pytest.raises(ValueError, match=r"the same data; rank 0 has None, rank 2 x{97}…$"):
        check_alike(ranks, {"epochs": 3})


def test_an_interrupt_waits_until_all_ranks_know_of_it() -> None:
    before = signal.getsignal(signal.SIGINT)
    ranks = Rank(0, 2)
    with Interrupts(ranks) as interrupts:
        signal.raise_signal(signal.SIGINT)
        assert interrupts.came == [1, 0]
        with pytest.raises(KeyboardInterrupt) as caught:
            interrupts.act([2, 0])  # of two ranks
        assert is_common(caught.value)  # nobody has to be told
        assert not is_common(KeyboardInterrupt())
    assert signal.getsignal(signal.SIGINT) is before
    with Interrupts(Rank(1, 2)) as interrupts:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):  # who asks twice does not want to wait
            signal.raise_signal(signal.SIGINT)
    with Interrupts(Ranks()), pytest.raises(KeyboardInterrupt):  # nobody has to be asked
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_ranks_look_after_as_many_steps_as_rank_0_says() -> None:
    class Others(Rank):
        """Of which rank 0 has just said what the test tells it to."""

        said: list[int]

        def add(self, numbers: list[int]) -> list[int]:
            assert numbers[:3] == [0, 0, 0]  # a rank that is not the first says nothing
            return [*self.said, *numbers[3:]]

    ranks = Others(1, 2)
    with Interrupts(ranks) as interrupts:
        pace = Pace(ranks, interrupts, None)
        ranks.said = [3, 0, 0]
        assert pace.after_step() == (True, False, False)
        assert [pace.after_step().look for _ in range(2)] == [False, False]
        ranks.said = [1, 1, 0]
        assert pace.after_step() == (True, True, False)
        ranks.said = [1, 0, 1]
        assert pace.after_step() == (True, False, True)


class Nobody:
    """Messages between this rank and others whose vectors are all 0."""

    rank, size = 0, 1

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.order: list[str] = []

    def start(self, sent: Any, received: Any) -> None:
        self.sent.append(sent.size)
        self.order.append("start")
        received[...] = sent

    def finish(self, received: Any) -> None:
        self.order.append("finish")

    def check(self) -> None:
        pass

    def broadcast(self, value: Any) -> Any:
        return value

    def gather(self, value: Any) -> list[Any]:
        return [value]


@pytest.mark.parametrize("synchronize", [True, False])
def test_one_part_that_is_all_gives_what_the_network_gives(synchronize: bool) -> None:
    rng = np.random.default_rng(0)
    x, t, weight = rng.standard_normal((8, 6)), rng.integers(0, 3, 8), rng.random(8)
    net = MultiLayerNet(6, [5, 4], 3, use_batchnorm=True, use_dropout=True, weight_decay_lambda=0.1, seed=0)
    counter = np.asarray([1, 2], np.int32)
    plain, summed = (net.bind(dict(net.params), dict(net.state), counter) for _ in range(2))
    together = GradientSum(HostSums(get_backend("numpy"), Nobody()), slice(0, 8), 8, synchronize)
    summed = summed.with_kernels(together.kernels).with_gradient(together.loss_and_gradient)
    for sample_weight in (None, weight):
        loss, grads = plain.loss_and_gradient(x, t, sample_weight)
        found, found_grads = summed.loss_and_gradient(x, t, sample_weight)
        np.testing.assert_allclose(found, loss, rtol=1e-14)
        for name, g in grads.items():
            np.testing.assert_allclose(found_grads[name], g, rtol=0, atol=1e-15, err_msg=name)
        for name, a in plain.state.items():
            np.testing.assert_allclose(summed.state[name], a, rtol=1e-14, err_msg=name)
    assert not any("backward" in vars(layer) for layer in summed.layers.values())  # nothing is left behind


def test_gradients_of_16_bits_stay_so() -> None:
    rng = np.random.default_rng(0)
    x, t, weight = rng.standard_normal((8, 6)).astype("float16"), rng.integers(0, 3, 8), rng.random(8)
    net = MultiLayerNet(6, [5], 3, seed=0, dtype="float16")
    loss, grads = net.loss_and_gradient(x, t, weight)
    together = GradientSum(HostSums(get_backend("numpy"), Nobody()), slice(0, 8), 8, True)
    found, found_grads = net.with_gradient(together.loss_and_gradient).loss_and_gradient(x, t, weight)
    np.testing.assert_allclose(found, loss, rtol=2e-3)
    for name, g in grads.items():
        assert found_grads[name].dtype == "float16"
        np.testing.assert_allclose(found_grads[name], g, rtol=0, atol=1e-3, err_msg=name)


def test_the_last_layers_gradients_are_on_their_way_while_the_first_goes_backward() -> None:
    messages, started = Nobody(), []

    class First(Affine):
        def backward_params(self, dout: Any) -> None:
            started.append(len(messages.sent))
            super().backward_params(dout)

    own = MultiLayerNet(300, [1000, 300], 10, seed=0)
    net = Network([First(own.params["W1"], own.params["b1"]), *[*own.layers.values()][1:]])
    together = GradientSum(HostSums(get_backend("numpy"), messages), slice(0, 4), 4, True)
    bound = net.bind(dict(net.params)).with_gradient(together.loss_and_gradient)
    bound.loss_and_gradient(np.ones((4, 300)), np.zeros(4, int))
    assert started == [1]
    assert messages.sent == [300 * 1000, 300 * 1000, 3000 + 10 + 300 + 1000 + 1]  # the loss goes with the last
    assert messages.order == ["start"] * 3 + ["finish"] * 3


@pytest.mark.parametrize("layer", [Dropout(0.5, seed=3), BatchNormalization(np.ones(3), np.zeros(3))])
def test_layers_know_which_rows_of_the_batch_they_have(layer: Any) -> None:
    x = np.random.default_rng(0).standard_normal((6, 3))
    if isinstance(layer, Dropout):
        whole = layer.forward(x)
        layer.step, layer.first_row = 0, 2
        np.testing.assert_array_equal(layer.forward(x[2:]), whole[2:])
    else:
        sums: list[Any] = []
        other = GradientSum(HostSums(get_backend("numpy"), Nobody()), slice(0, 3), 6, True)
        fast = layer.with_kernels(other.kernels)
        sums.append(fast.forward(x[:3]))
        # The others' rows count as zeros of mean 0 here: half of this part's mean remains.
        np.testing.assert_allclose(fast.mean, x[:3].mean(axis=0) / 2, rtol=1e-14)


@pytest.mark.parametrize("comm", [3, "world", object()])
def test_what_is_no_communicator(comm: Any) -> None:
    with pytest.raises(TypeError, match="comm wants to be a communicator of mpi4py"):
        fit(MultiLayerNet(6, [5], 3), np.zeros((10, 6)), np.zeros(10, int), optimizer=SGD(0.1), epochs=1,
            batch_size=5, progress=False, comm=comm)
