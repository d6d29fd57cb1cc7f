from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from folders import content
from shell import LIBRARIES, RESULTS, SCRIPTS, SHIPPED, Shell, environment
from variants import params

from xpnet import (
    SGD,
    History,
    MultiLayerNet,
    TwoLayerNet,
    fit,
    load_mnist,
    load_network,
)


def history(folder: Path) -> list[dict[str, float]]:
    with (folder / "history.csv").open(newline="") as file:
        table = csv.DictReader(file)
        assert table.fieldnames == [
            "epoch", "loss", "validation loss", "accuracy", "seconds", "samples per second", "ranks"]
        return [{name: float(value) for name, value in row.items()} for row in table]


KEPT = ["checkpoints", "options.json"]
"""What --resume wants."""


def check_results(out: Path) -> None:
    """See that a run's results are all there, and its pictures pictures."""
    assert sorted(path.name for path in out.iterdir()) == sorted([*RESULTS, *KEPT])
    for name in ("curves.png", "predictions.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def accuracy_of(folder: Path, dtype: str = "float32") -> float:
    """Load the weights of a run, see that they are finite, and compute the test accuracy."""
    network = load_network(folder / "weights.safetensors")
    assert all(p.dtype == dtype for p in network.params.values())
    assert all(np.isfinite(p).all() for p in network.params.values())
    _, (x, t) = load_mnist()
    return float(network.accuracy(x, t))


def last_line(done: subprocess.CompletedProcess[str], out: str) -> float:
    """See that the last line is as it should be, and give its accuracy."""
    __tracebackhide__ = True
    found = re.fullmatch(rf"test accuracy ([01]\.\d{{4}}) after \d+ epochs, \d+\.\d s, {out}",
                         done.stdout.splitlines()[-1])
    assert found, done.stdout
    return float(found[1])


@pytest.fixture(scope="module")
def five_epochs() -> History:
    """Train in this process, on NumPy, as train.py should on every library."""
    train, test = load_mnist()
    network = MultiLayerNet(784, [100], 10, seed=1, dtype="float32")
    return fit(network, *train, optimizer=SGD(0.5), epochs=5, batch_size=100, seed=1,
               validation=test, progress=False)


@pytest.mark.parametrize("library", params(*LIBRARIES))
def test_train_on_every_library(shell: Shell, five_epochs: History, library: str) -> None:
    done = shell.train("--backend", library, "--epochs", 5, "--seed", 1, "--out", "run",
                       gpu=library == "cupy")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr
    assert "20.0k/20.0k" in done.stderr  # the progress bar's end
    accuracy = last_line(done, "run")
    assert accuracy > 0.9

    out = shell.folder / "run"
    check_results(out)
    rows = history(out)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5]
    assert rows[-1]["accuracy"] == pytest.approx(accuracy, abs=5e-5)
    assert accuracy_of(out) == pytest.approx(accuracy, abs=1.1e-3)  # an image may lie on the edge
    assert sorted(row["seconds"] for row in rows) == [row["seconds"] for row in rows]
    for row, epoch in zip(rows, five_epochs.epochs, strict=True):
        assert row["loss"] == pytest.approx(epoch.loss, rel=1e-3)
        assert row["accuracy"] == pytest.approx(epoch.validation["accuracy"], abs=0.003)
        assert row["samples per second"] > 0


def test_defaults_reach_94_percent(shell: Shell) -> None:
    day = time.strftime("%Y%m%d")
    done = shell.train()
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    (out,) = (shell.folder / "runs").iterdir()
    assert last_line(done, f"runs/{out.name}") >= 0.94
    assert re.fullmatch(r"mnist-5k-\d{8}-\d{6}", out.name)
    assert day in out.name or time.strftime("%Y%m%d") in out.name
    check_results(out)
    assert len(history(out)) == 20
    assert accuracy_of(out) >= 0.94


def test_quiet_and_no_plot(shell: Shell) -> None:
    done = shell.train("--quiet", "--no-plot", "--epochs", 2, "--out", "deep/run")
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    last_line(done, "deep/run")
    assert sorted(path.name for path in (shell.folder / "deep/run").iterdir()) == sorted([
        "history.csv", "weights.safetensors", *KEPT])


def test_options_take_effect(shell: Shell) -> None:
    done = shell.train("--quiet", "--no-plot", "--epochs", 1, "--hidden", 7, "--batch-size", 4000,
                       "--dtype", "float64", "--lr", 0.25, "--seed", 3, "--out", "run",
                       "--data-dir", SHIPPED, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    found = load_network(shell.folder / "run/weights.safetensors")
    expected = TwoLayerNet(784, 7, 10, weight_init_std="he", seed=3, dtype="float64")
    (x, t), _ = load_mnist()
    grads = expected.gradient(x, t)
    for name, p in expected.params.items():
        np.testing.assert_allclose(found.params[name], p - 0.25 * grads[name], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("library", params("jax"))
def test_float64_on_jax(shell: Shell, library: str) -> None:
    done = shell.train("--backend", library, "--dtype", "float64", "--quiet", "--no-plot",
                       "--epochs", 1, "--out", "run")
    assert (done.returncode, done.stderr) == (0, "")
    assert accuracy_of(shell.folder / "run", "float64") == last_line(done, "run")


def test_one_seed_gives_one_result(shell: Shell) -> None:
    for out, seed in (("first", 0), ("again", 0), ("other", 1)):
        done = shell.train("--quiet", "--no-plot", "--epochs", 1, "--seed", seed, "--out", out)
        assert done.returncode == 0
    first, again, other = (
        (shell.folder / out / "weights.safetensors").read_bytes()
        for out in ("first", "again", "other")
    )
    assert first == again != other


def test_a_folder_that_holds_something_else(shell: Shell) -> None:
    (shell.folder / "run").mkdir()
    (shell.folder / "run/notes.txt").write_text("mine")
    done = shell.train("--quiet", "--no-plot", "--epochs", 1, "--out", "run")
    assert done.returncode == 0
    assert (shell.folder / "run/notes.txt").read_text() == "mine"
    assert (shell.folder / "run/weights.safetensors").is_file()


@pytest.mark.parametrize("script", ["train.py", "gradient_check.py"])
def test_help(shell: Shell, script: str) -> None:
    done = shell.python(SCRIPTS / script, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    for option in ("--backend", "--device", "--dtype", "--seed"):
        assert option in done.stdout
    assert ("--epochs" in done.stdout) is (script == "train.py")


def interrupted(shell: Shell, by: signal.Signals, *options: object) -> tuple[int, str, bytes]:
    """Begin to train, send a signal after the first epoch; give status, output and errors."""
    # A process started in the background may have been told to ignore SIGINT.
    runner = shell.runner("import signal\n"
                          "signal.signal(signal.SIGINT, signal.default_int_handler)", "train.py")
    with subprocess.Popen(
        [sys.executable, str(runner), "--epochs", "1000000", *map(str, options)],
        cwd=shell.folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:
        try:
            assert process.stderr is not None
            shown = b""
            while b"accuracy" not in shown:  # in the progress bar, after the first epoch
                chunk = os.read(process.stderr.fileno(), 4096)
                assert chunk, shown
                shown += chunk
            process.send_signal(by)
            stdout, rest = process.communicate(timeout=60)
        finally:
            process.kill()
    return process.returncode, stdout.decode(), shown + rest


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has signals")
@pytest.mark.parametrize(("by", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt(shell: Shell, by: signal.Signals, status: int) -> None:
    returned, stdout, stderr = interrupted(shell, by, "--out", "run")
    assert returned == status
    assert b"Traceback" not in stderr
    found = re.fullmatch(
        r"interrupted, test accuracy (0\.\d{4}) after (\d+) epochs, \d+\.\d s, run\n", stdout)
    assert found, stdout
    out = shell.folder / "run"
    check_results(out)
    assert len(history(out)) == int(found[2]) >= 1
    assert accuracy_of(out) == pytest.approx(float(found[1]), abs=1e-4)
    assert float(found[1]) > 0.8  # what was learnt is not lost
    assert len(list((out / "checkpoints").iterdir())) == 1


def test_two_that_begin_in_the_same_second_have_a_folder_each(shell: Shell) -> None:
    commands = [[sys.executable, str(SCRIPTS / "train.py"), "--quiet", "--no-plot", "--epochs", "1",
                 "--seed", str(seed)] for seed in range(3)]
    running = [subprocess.Popen(c, cwd=shell.folder, env=environment(), stdout=subprocess.PIPE)
               for c in commands]
    said = [process.communicate(timeout=100)[0].decode().split()[-1] for process in running]
    assert len({*said}) == 3
    assert {f"runs/{path.name}" for path in (shell.folder / "runs").iterdir()} == {*said}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_progress_bar_that_nobody_sees_does_not_end_training(shell: Shell) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, SCRIPTS / "train.py", "--epochs", "2", "--no-plot", "--out", "run"],
            cwd=shell.folder, env=environment(), stdout=subprocess.PIPE, stderr=full, check=True,
        )
    assert done.stdout.startswith(b"test accuracy 0.")
    assert (shell.folder / "run/weights.safetensors").is_file()


def test_a_reader_that_goes_away(shell: Shell) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, SCRIPTS / "train.py", "--epochs", "1", "--quiet", "--no-plot", "--out",
         "run"], cwd=shell.folder, env=environment(), stdout=writer, stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")
    assert (shell.folder / "run/weights.safetensors").is_file()


LATE = """
import xpnet.training.run as run
read_losses = run.Run.read_losses
def broken(self):
    losses = read_losses(self)
    return losses * (float("nan") if self.epoch == 3 else 1)
run.Run.read_losses = broken
"""


def test_a_loss_that_becomes_nan_late_keeps_what_was_learnt(shell: Shell) -> None:
    done = shell.python(shell.runner(LATE, "train.py"), "--quiet", "--out", "run")
    assert done.returncode == 2
    assert re.fullmatch(r"train.py: the loss became nan at step 1 of epoch 3.*; what was learnt "
                        r"before is in run\n", done.stderr), done.stderr
    assert len(history(shell.folder / "run")) == 2
    assert accuracy_of(shell.folder / "run") > 0.8


FULL = ("--network", "mlp", "--hidden", "20,10", "--batch-norm", "--dropout", 0.2, "--optimizer",
        "adam", "--lr", 0.01, "--seed", 3, "--batch-size", 50)


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has signals")
def test_a_run_that_is_resumed_ends_as_the_whole_one(shell: Shell) -> None:
    _, stdout, _ = interrupted(shell, signal.SIGTERM, *FULL, "--no-plot", "--out", "run")
    found = re.search(r" after (\d+) epochs", stdout)
    assert found
    epochs = int(found[1]) + 2
    whole = shell.train(*FULL, "--epochs", epochs, "--quiet", "--no-plot", "--out", "whole")
    assert whole.returncode == 0, whole.stderr
    done = shell.train("--resume", "run", "--epochs", epochs, "--quiet", "--no-plot")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split(",")[0] == whole.stdout.split(",")[0]
    first, second = (load_network(shell.folder / out / "weights.safetensors")
                     for out in ("run", "whole"))
    for name, p in first.params.items():
        np.testing.assert_array_equal(p, second.params[name])
    assert [row["loss"] for row in history(shell.folder / "run")] == [
        row["loss"] for row in history(shell.folder / "whole")]
    assert first.arguments["hidden_size_list"] == [20, 10]
    assert first.arguments["use_batchnorm"]
    assert first.arguments["dropout_ration"] == 0.2


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_anew(shell: Shell) -> None:
    killed = "import os, xpnet.training.trainer as t\nt.Trainer.train = lambda *_: os._exit(9)"
    done = shell.python(shell.runner(killed, "train.py"), "--quiet", "--no-plot", "--epochs", 1,
                        "--out", "run")
    assert done.returncode == 9
    for options in (("--out", "whole"), ("--resume", "run")):
        done = shell.train("--quiet", "--no-plot", "--epochs", 1, *options)
        assert (done.returncode, done.stderr) == (0, "")
    run, whole = (load_network(shell.folder / out / "weights.safetensors")
                  for out in ("run", "whole"))
    for name, p in run.params.items():
        np.testing.assert_array_equal(p, whole.params[name])


def test_an_interrupt_while_a_run_is_read_leaves_its_results(shell: Shell) -> None:
    done = shell.train("--quiet", "--no-plot", "--epochs", 1, "--out", "run")
    assert done.returncode == 0
    before = content(shell.folder / "run")
    stop = ("import xpnet.training.loop as loop\n"
            "def checked_data(*_): raise KeyboardInterrupt\nloop.checked_data = checked_data")
    done = shell.python(shell.runner(stop, "train.py"), "--quiet", "--no-plot", "--epochs", 2,
                        "--resume", "run")
    assert (done.returncode, done.stderr) == (130, "train.py: interrupted\n")
    after = content(shell.folder / "run")
    assert after.pop("options.json") != before.pop("options.json")
    assert after == before


def test_a_run_that_is_resumed_twice_remembers_its_options(shell: Shell) -> None:
    shell.train("--quiet", "--no-plot", "--epochs", 1, "--out", "run")
    shell.train("--quiet", "--no-plot", "--epochs", 2, "--lr", 0.25, "--resume", "run")
    kept = json.loads((shell.folder / "run/options.json").read_text())
    assert (kept["epochs"], kept["lr"]) == (2, 0.25)


def test_a_broken_checkpoint_is_told_and_passed_over(shell: Shell) -> None:
    done = shell.train("--quiet", "--no-plot", "--epochs", 1, "--out", "run")
    (path,) = (shell.folder / "run/checkpoints").iterdir()
    newer = path.with_name("step-00000099.safetensors")
    newer.write_bytes(path.read_bytes()[:-10])
    done = shell.train("--quiet", "--no-plot", "--epochs", 2, "--resume", "run")
    assert done.returncode == 0
    assert re.fullmatch(r"train.py: passed over: run/checkpoints/step-00000099.safetensors: .*\n", done.stderr)
    assert len(history(shell.folder / "run")) == 2


def test_patience(shell: Shell) -> None:
    done = shell.train("--quiet", "--no-plot", "--epochs", 30, "--patience", 1, "--out", "run",
                       "--hidden", 5)
    assert done.returncode == 0
    accuracies = [row["accuracy"] for row in history(shell.folder / "run")]
    assert len(accuracies) < 30
    assert accuracies[-1] <= accuracies[-2] == max(accuracies)
    assert last_line(done, "run") == pytest.approx(max(accuracies), abs=5e-5)


@pytest.mark.parametrize("network", ["simple-conv", "deep-conv"])
def test_networks_of_the_book(shell: Shell, network: str) -> None:
    small = ("import gzip, xpnet\nload = xpnet.load_mnist\n"
             "def few(**options):\n"
             "    return tuple((x[:200], t[:200]) for x, t in load(**options))\n"
             "xpnet.load_mnist = few")
    done = shell.python(shell.runner(small, "train.py"), "--quiet", "--no-plot", "--network", network,
                        "--epochs", 1, "--hidden", 7, "--lr", 0.01, "--out", "run")
    assert done.returncode == 0, done.stderr
    found = load_network(shell.folder / "run/weights.safetensors")
    assert type(found).__name__ == {"simple-conv": "SimpleConvNet", "deep-conv": "DeepConvNet"}[network]
    assert found.arguments["hidden_size"] == 7
