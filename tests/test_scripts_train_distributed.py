"""`mpiexec … scripts/train.py --distributed`: what one process does, and how several end."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from on_ranks import mpiexec, needs_ranks
from shell import SCRIPTS, Shell

from xpnet import load_network

pytestmark = needs_ranks

TRAIN = SCRIPTS / "train.py"
Done = subprocess.CompletedProcess[str]

PLANT = """
import os, signal, time
import mpi4py.MPI as MPI
import xpnet.training.trainer as trainer
order = trainer.epoch_batches
def planted(rows, batch_size, seed, epoch):
    if epoch == 3 and MPI.COMM_WORLD.rank == {rank}:
        {what}
    return order(rows, batch_size, seed, epoch)
trainer.epoch_batches = planted
"""


def train(shell: Shell, ranks: int, *options: object, program: Path = TRAIN, **others: Any) -> Done:
    return mpiexec(ranks, program, "--distributed", *options, folder=shell.folder, **others)


def weights(folder: Path) -> dict[str, Any]:
    return dict(load_network(folder / "weights.safetensors").params)


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def said(done: Done) -> list[str]:
    """Give what the script has said, without mpiexec's own words."""
    return [line for line in done.stderr.splitlines() if line.startswith(("train.py", "Traceback"))]


def none_left(done: Done) -> bool:
    """Tell whether no process of a run is left, some moments after its end."""
    wanted = f"{Path(done.args[-1]).name}\0".encode()

    def running() -> list[Path]:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command = path.read_bytes()
            except OSError:
                continue
            if b"train.py" in command and wanted in command:
                found.append(path)
        return found

    end = time.monotonic() + 5
    while running() and time.monotonic() < end:
        time.sleep(0.05)
    return not running()


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_it_learns_what_one_process_learns(shell: Shell, ranks: int) -> None:
    options = ("--epochs", 3, "--dtype", "float64", "--batch-norm", "--dropout", 0.2, "--batch-size", 64)
    alone = shell.train(*options, "--no-plot", "--quiet", "--out", "alone")
    assert alone.returncode == 0, alone.stderr
    done = train(shell, ranks, *options, "--out", "together")
    assert done.returncode == 0, done.stderr
    assert said(done) == []
    assert len(done.stdout.splitlines()) == 1, done.stdout  # rank 0 alone speaks
    assert re.match(r"test accuracy 0\.\d{4} after 3 epochs", done.stdout)
    assert done.stderr.count("11.9k/11.9k [00:0") >= 1  # the progress bar's end
    found, expected = weights(shell.folder / "together"), weights(shell.folder / "alone")
    largest = max(np.abs(a).max() for a in expected.values())
    for name, a in expected.items():
        np.testing.assert_allclose(found[name], a, rtol=0, atol=1e-11 * largest, err_msg=name)
    rows = table(shell.folder / "together")
    assert [row["ranks"] for row in rows] == [str(ranks)] * 3
    assert all(float(row["samples per second"]) > 0 for row in rows)
    assert sorted(path.name for path in (shell.folder / "together").iterdir()) == [
        "checkpoints", "curves.png", "history.csv", "options.json", "predictions.png", "weights.safetensors"]


def test_a_run_goes_on_on_another_number_of_ranks(shell: Shell) -> None:
    options = ("--no-plot", "--quiet", "--dtype", "float64")
    assert shell.train(*options, "--epochs", 6, "--out", "alone").returncode == 0
    done = train(shell, 3, *options, "--epochs", 2, "--out", "together")
    assert done.returncode == 0, done.stderr
    done = train(shell, 2, "--no-plot", "--quiet", "--resume", "together", "--epochs", 4)
    assert done.returncode == 0, done.stderr
    assert shell.train("--no-plot", "--quiet", "--resume", "together", "--epochs", 6).returncode == 0
    assert [row["ranks"] for row in table(shell.folder / "together")] == ["3", "3", "2", "2", "1", "1"]
    found, expected = weights(shell.folder / "together"), weights(shell.folder / "alone")
    for name, a in expected.items():
        np.testing.assert_allclose(found[name], a, rtol=0, atol=1e-11 * np.abs(a).max(), err_msg=name)


# mpiexec's status is that of all ranks, bit for bit: 1 and 2 make 3.
@pytest.mark.parametrize(("what", "status", "words"), [
    ("os.kill(os.getpid(), signal.SIGKILL)", 9, "rank {rank} has died: it was killed, or crashed"),
    ("os.abort()", None, "rank {rank} has died: it was killed, or crashed"),
    ("raise MemoryError('no room')", 2, "rank {rank}: not enough memory: no room"),
    ("raise OSError(28, 'No space left on device', 'there')", 2, "rank {rank}: there: No space left on device"),
    ("raise KeyError('planted')", 3, "rank {rank}: KeyError: 'planted'"),
])
@pytest.mark.parametrize("rank", [0, 2])
def test_a_rank_that_fails_ends_all(shell: Shell, what: str, status: int | None, words: str, rank: int) -> None:
    program = shell.runner(PLANT.format(rank=rank, what=what), "train.py")
    always = "import xpnet.training.checkpoints as c\nc.Checkpoints.due = lambda self: True\n"
    program.write_text(always + program.read_text())
    start = time.monotonic()
    done = train(shell, 3, "--no-plot", "--quiet", "--out", "run", "--epochs", 5, program=program)
    assert time.monotonic() - start < 60
    assert done.returncode == status or (status is None and done.returncode), done.stderr
    assert said(done)[-1].startswith(f"train.py: {words.format(rank=rank)}"), done.stderr
    assert sum(line.startswith("train.py: ") for line in said(done)) == 1, done.stderr
    assert ("Traceback (most recent call last):" in said(done)) == ("KeyError" in what)
    assert none_left(done)
    resumed = shell.train("--resume", "run", "--epochs", 4, "--no-plot", "--quiet")  # what was written loads
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.startswith("test accuracy 0.9")


def test_a_rank_that_runs_out_of_memory_is_told_from_one_that_was_killed(shell: Shell) -> None:
    told = "import xpnet.distributed.watcher as w, itertools"
    text = (Path(__file__).parents[1] / "xpnet" / "distributed" / "watcher.py").read_text()
    (shell.folder / "watcher.py").write_text(text.replace(
        "kills = oom_kills()", "kills = oom_kills() - 1"))
    prelude = f"{told}\nw.__file__ = {str(shell.folder / 'watcher.py')!r}\n" + PLANT.format(
        rank=1, what="os.kill(os.getpid(), signal.SIGKILL)")
    done = train(shell, 2, "--no-plot", "--quiet", "--out", "run",
                 program=shell.runner(prelude, "train.py"))
    assert said(done) == [("train.py: rank 1 has died: the system ran out of memory and killed it; "
                          "the other ranks end with it")]


def test_a_loss_that_is_nan(shell: Shell) -> None:
    done = train(shell, 3, "--lr", "1e38", "--no-plot", "--quiet", "--out", "run")
    assert done.returncode == 2
    line, = said(done)
    assert re.match(r"train.py: the loss became nan at step \d+ of epoch 1; at step \d+ on rank \d the "
                    r"output of Affine1 held the first NaN or infinity", line), line
    assert not (shell.folder / "run").exists()  # nothing was learnt


@pytest.mark.parametrize(("whom", "number"), [
    ("mpiexec", signal.SIGINT), ("mpiexec", signal.SIGTERM), ("a rank", signal.SIGINT)])
def test_an_interrupt_saves(shell: Shell, number: signal.Signals, whom: str) -> None:
    out = shell.folder / "run"

    def interrupt(process: subprocess.Popen[str]) -> None:
        end = time.monotonic() + 100
        while not (out / "checkpoints").exists() and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(2)
        if whom == "mpiexec":
            process.send_signal(number)
        else:
            ranks = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline")
                     if _is_rank(path)]
            os.kill(max(ranks), number)

    done = train(shell, 2, "--no-plot", "--quiet", "--out", "run", "--epochs", 100000, meanwhile=interrupt)
    assert done.returncode == 128 + number, done.stderr
    assert said(done) == []
    assert re.search(r"^interrupted, test accuracy 0\.\d{4} after \d+ epochs", done.stdout, re.MULTILINE), done.stdout
    epochs = len(table(out))
    resumed = shell.train("--resume", "run", "--epochs", epochs + 1, "--no-plot", "--quiet")
    assert resumed.returncode == 0, resumed.stderr
    assert none_left(done)


def _is_rank(path: Path) -> bool:
    try:
        command = path.read_bytes()
    except OSError:
        return False
    return b"100000" in command and b"train.py" in command and b"mpiexec" not in command


@pytest.mark.parametrize(("options", "words"), [
    (("--lr", "nan"), "argument --lr: a number above 0 is wanted; got nan"),
    (("--batch-size", 2), "fit wants at least one batch, and a row of it for each of 3 ranks; got batch_size 2"),
    (("--dataset", "nosuch"), "rank 0: no data set 'nosuch'"),
    (("--resume", "nosuch"), "rank 0: nosuch/options.json: No such file or directory"),
    (("--out", "here"), "rank 0: here already holds a run (weights.safetensors)"),
])
def test_what_no_rank_can_do_is_refused_once(shell: Shell, options: tuple[object, ...], words: str) -> None:
    (shell.folder / "here").mkdir()
    (shell.folder / "here" / "weights.safetensors").write_text("of a run before")
    done = train(shell, 3, *options, "--no-plot", "--quiet")
    assert done.returncode == 2
    line, = said(done)
    assert line.startswith(f"train.py: {words}"), line
    assert done.stdout == ""
    assert sorted(path.name for path in shell.folder.rglob("*")) == ["here", "weights.safetensors"]


def test_ranks_with_other_options_are_refused(shell: Shell) -> None:
    done = mpiexec(1, TRAIN, "--distributed", "--lr", 0.1, ":", TRAIN, "--distributed", "--lr", 0.2,
                   folder=shell.folder)
    assert done.returncode == 2
    assert said(done) == ["train.py: all ranks want the same --lr; rank 0 has 0.1, rank 1 0.2"]


@pytest.mark.parametrize(("prelude", "words"), [
    ("import xpnet; xpnet.__version__ += '.1'",
     "all ranks want the same version of xpnet; rank 0 has 0.1.0, rank 1 0.1.0.1"),
    ("import numpy; numpy.__version__ = '1.0'", "all ranks want the same version of numpy; rank 0 has"),
    (("import xpnet, numpy as np\nload = xpnet.load_mnist\n"
     "def load_mnist(**given):\n    (x, t), test = load(**given)\n    x[7, 0, 3, 3] = 0.5\n    return (x, t), test\n"
     "xpnet.load_mnist = load_mnist"), "all ranks want the same training data: x; rank 0 has [4000, 1, 28, 28,"),
    (("import xpnet\nnet = xpnet.MultiLayerNet\n"
     "xpnet.MultiLayerNet = lambda *a, **k: net(*a, **{**k, 'seed': 5})"), "all ranks want the same weights"),
])
def test_ranks_that_are_not_alike_are_refused(shell: Shell, prelude: str, words: str) -> None:
    other = shell.runner(prelude, "train.py")
    done = mpiexec(1, TRAIN, "--distributed", "--out", "run", ":", other, "--distributed", "--out", "run",
                   folder=shell.folder)
    assert done.returncode == 2
    line, = said(done)
    assert line.startswith(f"train.py: {words}"), line
    assert not (shell.folder / "run").exists()


def test_without_mpi4py_the_extra_is_named(shell: Shell) -> None:
    hidden = "import sys; sys.modules['mpi4py'] = None"
    done = shell.python(shell.runner(hidden, "train.py"), "--distributed")
    assert done.returncode == 2
    assert done.stderr == ("train.py: training on several ranks needs mpi4py, which is not installed: "
                           'pip install "xpnet[mpi]"\n')
