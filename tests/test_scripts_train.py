from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from shell import LIBRARIES, RESULTS, SCRIPTS, SHIPPED, Shell, environment
from variants import params

from xpnet import SGD, History, TwoLayerNet, fit, load_mnist, load_weights


def history(folder: Path) -> list[dict[str, float]]:
    with (folder / "history.csv").open(newline="") as file:
        table = csv.DictReader(file)
        assert table.fieldnames == ["epoch", "loss", "accuracy", "seconds", "samples_per_second"]
        return [{name: float(value) for name, value in row.items()} for row in table]


def check_results(out: Path) -> None:
    """See that a run's results are all there, and its pictures pictures."""
    assert sorted(path.name for path in out.iterdir()) == RESULTS
    for name in ("curves.png", "predictions.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def accuracy_of(folder: Path, dtype: str = "float32") -> float:
    """Load the weights of a run, see that they are finite, and compute the test accuracy."""
    network = TwoLayerNet(784, 100, 10, dtype=dtype)
    load_weights(folder / "weights.safetensors", network)
    assert all(np.isfinite(p).all() for p in network.params.values())
    _, (x, t) = load_mnist()
    return float(network.accuracy(x, t))


def last_line(done: subprocess.CompletedProcess[str], out: str) -> float:
    """See that the last line is as it should be, and give its accuracy."""
    __tracebackhide__ = True
    found = re.fullmatch(rf"test accuracy ([01]\.\d{{4}}), \d+\.\d s, {out}",
                         done.stdout.splitlines()[-1])
    assert found, done.stdout
    return float(found[1])


@pytest.fixture(scope="module")
def five_epochs() -> History:
    """Train in this process, on NumPy, as train.py should on every library."""
    train, test = load_mnist()
    network = TwoLayerNet(784, 100, 10, weight_init_std="he", seed=1, dtype="float32")
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
        assert row["accuracy"] == pytest.approx(epoch.accuracy, abs=0.003)
        assert row["samples_per_second"] > 0


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
    assert sorted(path.name for path in (shell.folder / "deep/run").iterdir()) == [
        "history.csv", "weights.safetensors"]


def test_options_take_effect(shell: Shell) -> None:
    done = shell.train("--quiet", "--no-plot", "--epochs", 1, "--hidden", 7, "--batch-size", 4000,
                       "--dtype", "float64", "--lr", 0.25, "--seed", 3, "--out", "run",
                       "--data-dir", SHIPPED, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    found = TwoLayerNet(784, 7, 10, dtype="float64")
    load_weights(shell.folder / "run/weights.safetensors", found)
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


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has SIGINT")
def test_interrupt(shell: Shell) -> None:
    # A process started in the background may have been told to ignore SIGINT.
    runner = shell.runner("import signal\n"
                          "signal.signal(signal.SIGINT, signal.default_int_handler)", "train.py")
    with subprocess.Popen(
        [sys.executable, str(runner), "--epochs", "1000000", "--out", "run"],
        cwd=shell.folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:
        try:
            assert process.stderr is not None
            shown = b""
            while b"accuracy" not in shown:  # in the progress bar, after the first epoch
                chunk = os.read(process.stderr.fileno(), 4096)
                assert chunk, shown
                shown += chunk
            process.send_signal(signal.SIGINT)
            stdout, rest = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert b"Traceback" not in shown + rest
    found = re.fullmatch(
        r"interrupted after (\d+) epochs, test accuracy (0\.\d{4}), \d+\.\d s, run\n",
        stdout.decode())
    assert found, stdout
    out = shell.folder / "run"
    check_results(out)
    assert len(history(out)) == int(found[1]) >= 1
    assert accuracy_of(out) == pytest.approx(float(found[2]), abs=1e-4)
    assert float(found[2]) > 0.8  # what was learnt is not lost


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


def test_a_loss_that_becomes_nan_late_keeps_what_was_learnt(shell: Shell) -> None:
    late = ("import xpnet.training.loop as loop\n"
            "mean_loss = loop.mean_loss\n"
            "def broken(backend, losses, epoch):\n"
            "    if epoch == 3: raise loop.NonFiniteLossError('the loss became nan')\n"
            "    return mean_loss(backend, losses, epoch)\n"
            "loop.mean_loss = broken")
    done = shell.python(shell.runner(late, "train.py"), "--quiet", "--out", "run")
    assert done.returncode == 2
    assert done.stderr == "train.py: the loss became nan; what was learnt before is in run\n"
    assert len(history(shell.folder / "run")) == 2
    assert accuracy_of(shell.folder / "run") > 0.8
