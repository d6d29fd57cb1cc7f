"""`fit(comm=…)` in a program: what each rank reads, and what each hears."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from on_ranks import mpiexec, needs_ranks

from xpnet import SGD, MultiLayerNet, fit
from xpnet.distributed import Ranks

pytestmark = needs_ranks

BEGIN = """
import json, sys, time
import numpy as np
from mpi4py import MPI
from xpnet import *
from xpnet.distributed import RankError, Ranks
world = MPI.COMM_WORLD
rng = np.random.default_rng(0)
x, t = rng.standard_normal((100, 6)), rng.integers(0, 3, 100)
net = MultiLayerNet(6, [5], 3, seed=0)
options = dict(optimizer=SGD(0.1), epochs=3, batch_size=10, progress=False, comm=world)
def tell(**found):
    open(f"{world.rank}.json", "w").write(json.dumps(found))
"""


def run(folder: Path, ranks: int, program: str, status: int = 0) -> list[dict[str, Any]]:
    (folder / "program.py").write_text(BEGIN + program)
    done = mpiexec(ranks, "program.py", folder=folder, timeout=100)
    assert done.returncode == status, done.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(ranks)]


def test_each_rank_reads_its_rows(tmp_path: Path) -> None:
    found = run(tmp_path, 3, """
import xpnet.training.alike as alike
alike.SMALL, alike.ROWS = 0, 7
np.save("x.npy", x) if world.rank == 0 else None
world.barrier()
read = []
class Counted(np.memmap):
    def __getitem__(self, key):
        rows = np.arange(len(self))[key[0] if isinstance(key, tuple) else key]
        read.append(np.atleast_1d(rows).tolist())
        return np.asarray(self.view(np.memmap))[key]
mapped = np.load("x.npy", mmap_mode="r").view(Counted)
fit(net, mapped, t, **options)
tell(read=read)
""")
    whole = np.arange(100)
    parts = [whole[100 * r // 3:100 * (r + 1) // 3] for r in range(3)]
    for rank, seen in enumerate(found):
        first, checked, one, compared, *batches = seen["read"]
        assert first == [0, 1]  # to see that they fit the network
        assert checked == parts[rank].tolist()
        assert one == [0]  # to see how large it is
        assert compared == np.unique(np.linspace(0, 99, 7).astype(int)).tolist()
        assert len(batches) == 30
    for epoch in range(3):  # all ranks together read each row once, in the order of one process
        order = np.random.default_rng([0, epoch + 1]).permutation(100).reshape(10, 10)
        for k, rows in enumerate(order):
            together = [row for seen in found for row in seen["read"][4 + 10 * epoch + k]]
            assert together == rows.tolist()


def test_an_idx_file_that_is_mapped(tmp_path: Path) -> None:
    header = bytes([0, 0, 0x0D, 2, *(100).to_bytes(4), *(6).to_bytes(4)])
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((100, 6)).astype(np.float32), rng.integers(0, 3, 100)
    (tmp_path / "x.idx").write_bytes(header + x.astype(">f4").tobytes())
    run(tmp_path, 2, """
mapped = datasets.map_idx("x.idx")
fit(net, mapped, t, **options)
if world.rank == 0:
    np.savez("net.npz", **net.params)
tell(done=1)
""")
    net = MultiLayerNet(6, [5], 3, seed=0)
    fit(net, x, t, optimizer=SGD(0.1), epochs=3, batch_size=10, progress=False)
    with np.load(tmp_path / "net.npz") as file:
        for name, p in net.params.items():
            np.testing.assert_allclose(file[name], p, rtol=0, atol=1e-12)


def test_an_error_on_a_rank_is_heard_by_all(tmp_path: Path) -> None:
    found = run(tmp_path, 3, """
def broken(net, history):
    if world.rank == 1 and len(history.epochs) == 2:
        raise KeyError("mine")
history = History()
try:
    fit(net, x, t, **options, callbacks=[broken], checkpoints="run", history=history)
except Exception as error:
    tell(kind=type(error).__name__, text=str(error), epochs=len(history.epochs), loss=float(net.loss(x, t)))
""")
    assert [f["kind"] for f in found] == ["RankError", "KeyError", "RankError"]
    assert [f["text"] for f in found] == ["rank 1: KeyError: 'mine'", "'mine'", "rank 1: KeyError: 'mine'"]
    assert [f["epochs"] for f in found] == [2, 2, 2]
    assert len({f["loss"] for f in found}) == 1  # each network holds what was learnt
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["step-00000020.safetensors"]


def test_a_rank_with_other_data_or_settings(tmp_path: Path) -> None:
    found = run(tmp_path, 2, """
found = {}
earlier = History([training.Epoch(k + 1, 1.0, {}, 1.0, 1.0) for k in range(world.rank)])
for name, changed in dict(epochs={"epochs": 4}, history={"history": earlier}, optimizer={"optimizer": SGD(0.2)}, seed={"seed": 1},
                          weights={"sample_weight": np.full(100, 1 + world.rank)}).items():
    changed = changed if world.rank or name == "weights" else {}
    try:
        fit(net, x, t, **{**options, **changed})
    except ValueError as error:
        found[name] = str(error)
other = MultiLayerNet(6, [5], 3, seed=0, use_dropout=True, dropout_ration=0.1 + 0.1 * world.rank)
try:
    fit(other, x, t, **options)
except ValueError as error:
    found["layers"] = str(error)
labels = t.copy()
labels[7] = (labels[7] + world.rank) % 3
try:
    fit(net, x, labels, **options)
except ValueError as error:
    found["labels"] = str(error)
tell(**found)
""")
    for seen in found:
        assert seen["epochs"] == "all ranks want the same epochs; rank 0 has 3, rank 1 4"
        assert seen["optimizer"].startswith("all ranks want the same optimizer; rank 0 has SGD(lr=0.1")
        assert seen["seed"] == "all ranks want the same seed; rank 0 has 0, rank 1 1"
        assert seen["history"] == "all ranks want the same last epoch; rank 0 has 0, rank 1 1"
        assert seen["layers"].startswith("all ranks want the same layers; rank 0 has [['Affine'"), seen
        assert seen["weights"].startswith("all ranks want the same training data: weight; rank 0 has [100,")
        assert seen["labels"].startswith("all ranks want the same training data: t; rank 0 has [100,")


def test_a_wish_of_one_rank_stops_all(tmp_path: Path) -> None:
    found = run(tmp_path, 2, """
history = fit(net, x, t, **options, callbacks=[lambda net, history: world.rank == 1])
tell(epochs=len(history.epochs), seconds=history.epochs[0].seconds, ranks=history.epochs[0].ranks)
""")
    assert found[0] == found[1]
    assert (found[0]["epochs"], found[0]["ranks"]) == (1, 2)


def test_statistics_of_each_rank(tmp_path: Path) -> None:
    run(tmp_path, 3, """
net = MultiLayerNet(6, [5], 3, use_batchnorm=True, seed=0)
fit(net, x, t, **{**options, "epochs": 1, "batch_size": 100}, sync_batchnorm=False)
np.savez("net.npz", **net.params, **net.state)
tell(done=1)
""")
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((100, 6)), rng.integers(0, 3, 100)
    net = MultiLayerNet(6, [5], 3, use_batchnorm=True, seed=0)
    order = np.random.default_rng([0, 1]).permutation(100)
    expected = {**net.params, **dict.fromkeys(net.state, 0)}
    for rank in range(3):
        rows = order[Ranks().part(100)][100 * rank // 3:100 * (rank + 1) // 3]
        own = MultiLayerNet(6, [5], 3, use_batchnorm=True, seed=0)
        share = len(rows) / 100
        for name, g in own.gradient(x[rows], t[rows]).items():
            expected[name] = expected[name] - 0.1 * share * g
        for name, a in own.state.items():
            expected[name] = expected[name] + share * a
    with np.load(tmp_path / "net.npz") as file:
        for name, a in expected.items():
            np.testing.assert_allclose(file[name], a, rtol=0, atol=1e-14, err_msg=name)


def test_layers_that_do_not_compute_alike_are_found(tmp_path: Path) -> None:
    found = run(tmp_path, 2, """
class Odd(optimizers.SGD):
    def move(self, p, g, memory, lr, numbers):
        return super().move(p, g + 1e-9 * world.rank, memory, lr, numbers)
try:
    fit(net, x, t, **{**options, "optimizer": Odd(0.1)})
except RuntimeError as error:
    tell(text=str(error))
""")
    assert all(f["text"].startswith("the ranks' weights are no longer the same") for f in found)


def test_a_network_that_sums_by_itself_is_refused(tmp_path: Path) -> None:
    found = run(tmp_path, 2, """
class Own(Network):
    def loss_and_gradient(self, x, t, sample_weight=None):
        loss = self.last_layer.forward(self.predict(x, True), t)
        self.backward_params(self.last_layer.backward())
        return loss, self.grads
try:
    fit(Own(list(net.layers.values())), x, t, **options)
except TypeError as error:
    tell(text=str(error))
""")
    assert all(f["text"].startswith("Own: a loss_and_gradient of its own wants to call Network's") for f in found)


def test_the_same_ranks_go_on_after_a_loss_that_became_nan(tmp_path: Path) -> None:
    found = run(tmp_path, 2, """
def broken(net, history):
    if world.rank == 1:
        raise OSError(28, "No space left on device", "there")
texts = []
with Ranks(world) as ranks:
    for changed in ({"optimizer": SGD(1e300)}, {}, {"callbacks": [broken]}):
        try:
            fit(MultiLayerNet(6, [5], 3, seed=0), x, t, **{**options, "comm": ranks, **changed})
            texts.append("trained")
        except Exception as error:
            texts.append(f"{type(error).__name__}: {error}")
tell(texts=texts)
""")
    for seen in found:
        assert seen["texts"][0].startswith("NonFiniteLossError: ")
        assert seen["texts"][1] == "trained"
    assert found[0]["texts"][2] == "RankError: rank 1: there: No space left on device"
    assert found[1]["texts"][2] == "OSError: [Errno 28] No space left on device: 'there'"


def test_ranks_of_which_one_has_failed_are_refused(tmp_path: Path) -> None:
    found = run(tmp_path, 2, """
def broken(net, history):
    if world.rank == 1:
        raise ValueError("x" * 10**6)
texts = []
with Ranks(world) as ranks:
    for callbacks in ([broken], []):
        try:
            fit(net, x, t, **{**options, "comm": ranks}, callbacks=callbacks)
        except Exception as error:
            texts.append(f"{type(error).__name__}: {error}"[:60])
tell(texts=texts)
""")
    cut = "x" * 1000
    assert found[0]["texts"] == [f"RankError: rank 1: {cut}"[:60]] * 2
    assert found[1]["texts"] == [f"ValueError: {cut}"[:60], f"RankError: this rank has failed before: {cut}"[:60]]


def test_two_fits_one_after_the_other_on_one_communicator(tmp_path: Path) -> None:
    found = run(tmp_path, 2, """
with Ranks(world) as ranks:
    history = fit(net, x, t, **{**options, "comm": ranks})
    history = fit(net, x, t, **{**options, "comm": ranks}, history=history)
tell(epochs=[e.epoch for e in history.epochs], loss=history.epochs[-1].loss)
""")
    assert found[0]["epochs"] == [1, 2, 3, 4, 5, 6]
    assert found[0] == found[1]
