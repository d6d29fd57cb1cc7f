from __future__ import annotations

import csv
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from variants import missing, params

import xpnet.datasets
from xpnet import SGD, History, TwoLayerNet, fit, load_mnist, load_weights

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "scripts"
SHIPPED = Path(xpnet.datasets.__file__).parent / "mnist_5k"
RESULTS = ["curves.png", "history.csv", "predictions.png", "weights.safetensors"]
LIBRARIES = ("numpy", "strict", "torch", "jax", "cupy")
# Two scripts at a time that use all cores each wait for one another, ten times as long.
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
Done: TypeAlias = "Future[subprocess.CompletedProcess[str]]"


def environment(gpu: bool = False) -> dict[str, str]:
    """Give the environment of a script: this checkout's xpnet, no data sets, no GPU if not asked."""
    paths = [str(ROOT), str(ROOT / "backends"), os.environ.get("PYTHONPATH", "")]
    kept = {name: value for name, value in os.environ.items() if name != "XPNET_DATA"}
    hidden = {} if gpu else {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    return kept | hidden | ONE_THREAD | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


@dataclass
class Shell:
    """Runs the scripts in a folder of their own."""

    folder: Path

    def python(
        self, *arguments: object, gpu: bool = False
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *map(str, arguments)], cwd=self.folder, env=environment(gpu),
            capture_output=True, text=True, timeout=200, check=False,
        )

    def train(self, *options: object, gpu: bool = False) -> subprocess.CompletedProcess[str]:
        return self.python(SCRIPTS / "train.py", *options, gpu=gpu)

    def gradient_check(
        self, *options: object, gpu: bool = False
    ) -> subprocess.CompletedProcess[str]:
        return self.python(SCRIPTS / "gradient_check.py", *options, gpu=gpu)

    def after(
        self, prelude: str, script: str, *options: object
    ) -> subprocess.CompletedProcess[str]:
        """Run a script in an interpreter that has run a prelude."""
        return self.python(self.runner(prelude, script), *options)

    def runner(self, prelude: str, script: str, name: str = "runner") -> Path:
        path = self.folder.parent / f"{name}.py"
        path.write_text("\n".join((
            "import runpy, sys", f"sys.path.insert(0, {str(SCRIPTS)!r})", prelude,
            f"sys.argv[0] = {str(SCRIPTS / script)!r}",
            "runpy.run_path(sys.argv[0], run_name='__main__')",
        )))
        return path

    def content(self) -> dict[str, bytes | None]:
        """Give all that is in the folder: files with their bytes, and folders."""
        return {str(path.relative_to(self.folder)): path.read_bytes() if path.is_file() else None
                for path in self.folder.rglob("*")}


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    (tmp_path / "work").mkdir()
    return Shell(tmp_path / "work")


def refused(
    shell: Shell, run: Callable[[], subprocess.CompletedProcess[str]], *wanted: str,
    program: str = "train.py",
) -> str:
    """See that a script refuses in one line, with status 2, and leaves everything as it was."""
    __tracebackhide__ = True
    before = shell.content()
    done = run()
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith(f"{program}: ")
    assert "Traceback" not in done.stderr
    assert done.returncode == 2
    assert done.stdout == ""
    for part in wanted:
        assert part in done.stderr
    assert shell.content() == before
    return done.stderr


# train.py


def history(folder: Path) -> list[dict[str, float]]:
    with (folder / "history.csv").open(newline="") as file:
        table = csv.DictReader(file)
        assert table.fieldnames == ["epoch", "loss", "accuracy", "seconds", "samples_per_second"]
        return [{name: float(value) for name, value in row.items()} for row in table]


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
    assert sorted(path.name for path in out.iterdir()) == RESULTS
    rows = history(out)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5]
    assert rows[-1]["accuracy"] == pytest.approx(accuracy, abs=5e-5)
    assert accuracy_of(out) == pytest.approx(accuracy, abs=1.1e-3)  # an image may lie on the edge
    assert sorted(row["seconds"] for row in rows) == [row["seconds"] for row in rows]
    for row, epoch in zip(rows, five_epochs.epochs, strict=True):
        assert row["loss"] == pytest.approx(epoch.loss, rel=1e-3)
        assert row["accuracy"] == pytest.approx(epoch.accuracy, abs=0.003)
        assert row["samples_per_second"] > 0
    for name in ("curves.png", "predictions.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_defaults_reach_94_percent(shell: Shell) -> None:
    day = time.strftime("%Y%m%d")
    done = shell.train()
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    (out,) = (shell.folder / "runs").iterdir()
    assert last_line(done, f"runs/{out.name}") >= 0.94
    assert re.fullmatch(r"mnist-5k-\d{8}-\d{6}", out.name)
    assert day in out.name or time.strftime("%Y%m%d") in out.name
    assert sorted(path.name for path in out.iterdir()) == RESULTS
    assert len(history(out)) == 30
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


# What train.py refuses


@pytest.mark.parametrize(("options", "wanted"), [
    ("--batch-size 0", ["--batch-size", "a whole number from 1", "got 0"]),
    ("--batch-size 1.5", ["--batch-size", "a whole number from 1", "got 1.5"]),
    ("--batch-size 4001", ["batch", "4001", "4000"]),
    ("--lr nan", ["--lr", "a number above 0", "got nan"]),
    ("--lr -1", ["--lr", "a number above 0", "got -1"]),
    ("--lr abc", ["--lr", "a number above 0", "got abc"]),
    ("--lr inf", ["--lr", "a number above 0", "got inf"]),
    ("--epochs 0", ["--epochs", "a whole number from 1", "got 0"]),
    ("--hidden 0", ["--hidden", "a whole number from 1", "got 0"]),
    ("--seed -1", ["--seed", "a whole number from 0", "got -1"]),
    ("--dtype float16", ["--dtype", "float16", "float32", "float64"]),
    ("--dataset nosuch", ["nosuch", "mnist-5k, mnist, fashion-mnist"]),
    ("--backend nosuch", ["nosuch", "available here: numpy"]),
    ("--backend numpy --device cuda", ["NumPy", "CPU only", "got device 'cuda'"]),
    ("--bogus", ["--bogus"]),
    ("--epochs", ["--epochs", "expected one argument"]),
    ("--data-dir nosuch", ["nosuch: no mnist-5k here", "train-images-idx3-ubyte"]),
    ("--data-dir empty", ["empty: no mnist-5k here", "train-images-idx3-ubyte"]),
    ("--out file/run", ["file/run", "Not a directory"]),
    ("--out file", ["file", "exists"]),
    ("--hidden 1000000000000", ["not enough memory"]),
    (f"--hidden {10**30}", []),
])
def test_bad_options(shell: Shell, options: str, wanted: list[str]) -> None:
    (shell.folder / "empty").mkdir()
    (shell.folder / "file").write_text("mine")
    refused(shell, lambda: shell.train(*options.split()), *wanted)


@pytest.mark.parametrize(("library", "wanted"), [
    *(pytest.param(*p.values, name, marks=p.marks)
      for p, name in zip(params("torch", "jax"), ("PyTorch", "JAX"), strict=True)),
])
def test_device_that_a_library_has_not(shell: Shell, library: str, wanted: str) -> None:
    refused(shell, lambda: shell.train("--backend", library, "--device", "cuda"),
            wanted, "no device 'cuda' here")


@pytest.mark.parametrize("library", params("torch"))
def test_device_without_values(shell: Shell, library: str) -> None:
    refused(shell, lambda: shell.train("--backend", library, "--device", "meta"), "meta")


@pytest.mark.parametrize("library", params("torch"))
def test_gpu_memory_that_is_not_enough(shell: Shell, library: str) -> None:
    # PyTorch's is a RuntimeError, not a MemoryError; JAX's is a RuntimeError too.
    full = ("import torch, xpnet.training.loop as loop\n"
            "def batches(*_): raise torch.OutOfMemoryError('CUDA out of memory.\\nTried 9 GiB')\n"
            "loop.epoch_batches = batches")
    refused(shell, lambda: shell.after(full, "train.py", "--backend", library, "--quiet",
                                       "--out", "run"), "out of memory. Tried 9 GiB")


NO_CUPY = """
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "cupy" else find_spec(name, *rest)
"""

# As much of CuPy as is there before a GPU has been found.
FAKE_CUPY = """
import importlib.machinery, sys, types
cupy = types.ModuleType("cupy")
cupy.__spec__ = importlib.machinery.ModuleSpec("cupy", None)
cupy.__version__ = "14.0.0"
cupy.is_available = lambda: {gpus} > 0
cupy.cuda = types.SimpleNamespace(runtime=types.SimpleNamespace(getDeviceCount=lambda: {gpus}))
sys.modules["cupy"] = cupy
sys.modules["array_api_compat.cupy"] = types.ModuleType("array_api_compat.cupy")
"""


@pytest.mark.parametrize(("script", "options"), [
    ("train.py", "--device cuda"), ("train.py", "--backend cupy"),
    ("gradient_check.py", "--device cuda:7"),
])
def test_without_cupy(shell: Shell, script: str, options: str) -> None:
    refused(shell, lambda: shell.after(NO_CUPY, script, *options.split()),
            "cupy", "not installed", "xpnet[cuda13]", program=script)


@pytest.mark.parametrize("options", ["--device cuda", "--device cuda:7", "--backend cupy"])
def test_cupy_without_a_gpu(shell: Shell, options: str) -> None:
    refused(shell, lambda: shell.after(FAKE_CUPY.format(gpus=0), "train.py", *options.split()),
            "no CUDA GPU", "14.0.0", "driver")


def test_a_gpu_that_is_not_there(shell: Shell) -> None:
    refused(shell, lambda: shell.after(FAKE_CUPY.format(gpus=2), "train.py", "--device", "cuda:7"),
            "no CUDA GPU '7'", "cuda:0, cuda:1")


@pytest.mark.parametrize(("gpus", "listed"), [(0, False), (1, True)])
def test_cupy_is_offered_only_with_a_gpu(shell: Shell, gpus: int, listed: bool) -> None:
    prelude = FAKE_CUPY.format(gpus=gpus)
    line = refused(shell, lambda: shell.after(prelude, "train.py", "--backend", "nosuch"), "nosuch")
    offered = line.partition("available here: ")[2].partition(";")[0].split(", ")
    assert "numpy" in offered
    assert ("cupy" in offered) is listed


def data(shell: Shell) -> Path:
    return Path(shutil.copytree(SHIPPED, shell.folder / "data"))


def test_truncated_data_file(shell: Shell) -> None:
    path = data(shell) / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-1000])
    refused(shell, lambda: shell.train("--data-dir", "data"), "data/t10k-images-idx3-ubyte.gz",
            "truncated")


def test_missing_data_file(shell: Shell) -> None:
    (data(shell) / "t10k-images-idx3-ubyte.gz").unlink()
    refused(shell, lambda: shell.train("--data-dir", "data"), "data", "t10k-images-idx3-ubyte",
            "missing")


def test_images_and_labels_swapped(shell: Shell) -> None:
    images = data(shell) / "train-images-idx3-ubyte.gz"
    labels = images.with_name("train-labels-idx1-ubyte.gz")
    content = images.read_bytes()
    images.write_bytes(labels.read_bytes())
    labels.write_bytes(content)
    refused(shell, lambda: shell.train("--data-dir", "data"), "data/train-images-idx3-ubyte.gz",
            "labels (1 dimension) where images (3 dimensions) are wanted")


@pytest.mark.parametrize("name", RESULTS)
def test_a_folder_that_holds_a_run(shell: Shell, name: str) -> None:
    (shell.folder / "run").mkdir()
    (shell.folder / "run" / name).write_bytes(b"of the run before")
    refused(shell, lambda: shell.train("--out", "run"), f"run already holds a run ({name})", "--out")


@pytest.mark.parametrize("library", params("numpy", "strict", "torch"))
def test_loss_that_becomes_nan(shell: Shell, library: str) -> None:
    line = refused(shell, lambda: shell.train(
        "--lr", "1e20", "--quiet", "--backend", library, "--out", "run"), "learning rate")
    assert re.search(r"the loss became (nan|inf) at step \d+ of epoch 1", line)


@pytest.mark.parametrize("out", ["", "--out deep/er/run", "--out there"])
def test_loss_that_becomes_nan_leaves_no_folder(shell: Shell, out: str) -> None:
    (shell.folder / "there").mkdir()
    done = shell.train("--lr", "1e20", "--quiet", *out.split())
    assert done.returncode == 2
    assert shell.content() == {"there": None}


def test_loss_that_becomes_nan_with_the_progress_bar(shell: Shell) -> None:
    done = shell.train("--lr", "1e20", "--out", "run")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert lines[-1].startswith("train.py: the loss became ")
    assert all("samples" in line or not line for line in lines[:-1]), lines  # the bar
    assert shell.content() == {}


@pytest.mark.parametrize(("library", "options"), [
    ("safetensors", "--quiet --no-plot"), ("matplotlib", "--quiet"), ("tqdm", "--no-plot"),
])
def test_missing_extra_is_told_before_training(shell: Shell, library: str, options: str) -> None:
    # 10**9 epochs: if it is told after training, this does not end.
    absent = (f"sys.modules.update(dict.fromkeys(['{library}', '{library}.numpy', "
              f"'{library}.figure', '{library}.auto']))\n"
              "import xpnet.training.loop as loop\n"
              "def trained(*_): raise AssertionError('it trains')\n"
              "loop.epoch_batches = trained")
    refused(shell, lambda: shell.after(absent, "train.py", "--epochs", 10**9, "--out", "run",
                                       *options.split()),
            f"{library}, which is not installed", "xpnet[train]")


# Ctrl-C


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
    assert sorted(path.name for path in out.iterdir()) == RESULTS
    assert len(history(out)) == int(found[1]) >= 1
    assert accuracy_of(out) == pytest.approx(float(found[2]), abs=1e-4)
    assert float(found[2]) > 0.8  # what was learnt is not lost
    for name in ("curves.png", "predictions.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


# gradient_check.py


@dataclass
class Row:
    """A line of the table: how much a parameter's gradients differ."""

    mean: float
    worst: float
    element: tuple[int, ...]
    relative: float


def table(done: subprocess.CompletedProcess[str]) -> dict[str, Row]:
    """Read the table, and see that all four parameters are in it, once."""
    __tracebackhide__ = True
    number = r"([-+.\de]+|nan|inf)"
    rows = re.findall(rf"^(\w+) +{number} +{number} at ([\d, ]*\d) +{number}$", done.stdout, re.MULTILINE)
    assert [row[0] for row in rows] == ["W1", "b1", "W2", "b2"], done.stdout
    return {
        name: Row(float(mean), float(worst), tuple(map(int, element.split(", "))), float(relative))
        for name, mean, worst, element, relative in rows
    }


def correct(done: subprocess.CompletedProcess[str], largest: float) -> None:
    """See that all agree: no difference above `largest`."""
    __tracebackhide__ = True
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "backpropagation is correct"
    for name, row in table(done).items():
        assert len(row.element) == (2 if name.startswith("W") else 1)
        assert 0 < row.mean <= row.worst < largest


def test_gradients_agree_in_float32(shell: Shell) -> None:
    done = shell.gradient_check("--dtype", "float32", "--seed", 1)
    assert "float32, numpy on cpu" in done.stdout
    correct(done, 1e-6)


PLANTED = """
import array_api_compat
import {module} as module
right = module.{function}

def wrong({arguments}):
    xp = array_api_compat.array_namespace(x)
    {body}

module.{function} = wrong
"""
AFFINE = {"module": "xpnet.layers.affine", "function": "affine_backward",
          "arguments": "dout, x, W, b"}
RELU = {"module": "xpnet.layers.relu", "function": "relu_backward", "arguments": "dout, x"}
LOSS = {"module": "xpnet.losses", "function": "softmax_cross_entropy_backward",
        "arguments": "dout, x, t, y=None"}
TAKEN = "dx, dW, db = right(dout, x, W, b); "


BUGS: dict[str, tuple[dict[str, str], str, str]] = {
    # where, what, and the parameters whose gradients are then wrong
    "nothing": (AFFINE, "return right(dout, x, W, b)", ""),
    "sign of dW": (AFFINE, TAKEN + "return dx, -dW, db", "W1 W2"),
    "sign of dx": (AFFINE, TAKEN + "return -dx, dW, db", "W1 b1"),
    "factor 2": (LOSS, "return 2 * right(dout, x, t, y=y)", "W1 b1 W2 b2"),
    "not the mean": (LOSS, "return right(dout, x, t, y=y) * x.shape[0]", "W1 b1 W2 b2"),
    "no sum over the batch": (AFFINE, TAKEN + "return dx, dW, dout[0, :]", "b1 b2"),
    "wrong row": (LOSS, "return right(dout, x, xp.roll(t, 1), y=y)", "W1 b1 W2"),
    "transposed mask": (
        RELU, "return xp.where(xp.reshape((x <= 0).T, x.shape), 0, dout)", "W1 b1"),
    "no mask": (RELU, "return dout", "W1 b1"),
    "one element": (
        AFFINE, TAKEN + "dW[400:401, 7] += 1e-5 * (W.shape[0] == 784); return dx, dW, db", "W1"),
    "one bias": (
        AFFINE, TAKEN + "return dx, dW, db * (1.001 if b.shape == (50,) else 1)", "b1"),
    "NaN": (
        AFFINE, TAKEN + "db[3] = xp.nan if b.shape == (10,) else db[3]; return dx, dW, db", "b2"),
}


@pytest.fixture(scope="module", autouse=True)
def checks(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Done]]:
    """Check the gradients on each library and with each bug, one by one, beside the other tests.

    They take most of the time, JAX half a minute. Only those that a selected test wants are run.
    """
    folder = tmp_path_factory.mktemp("checks")
    (folder / "work").mkdir()
    shell = Shell(folder / "work")
    wanted = [item.callspec.params.get("check") for item in request.session.items
              if isinstance(item, pytest.Function) and hasattr(item, "callspec")]
    pool = ThreadPoolExecutor(1)
    found: dict[str, Done] = {}
    for check in wanted:
        if check in BUGS:
            where, body, _ = BUGS[check]
            runner = shell.runner(PLANTED.format(body=body, **where), "gradient_check.py",
                                  check.replace(" ", "-"))
            found[check] = pool.submit(shell.python, runner)
        elif check in LIBRARIES and not missing(check):
            found[check] = pool.submit(
                shell.gradient_check, "--backend", check, gpu=check == "cupy")
    yield found
    pool.shutdown(cancel_futures=True)
    assert shell.content() == {}


@pytest.mark.parametrize("check", params(*LIBRARIES))
def test_gradients_agree_on_every_library(checks: dict[str, Done], check: str) -> None:
    done = checks[check].result()
    assert f"float64, {check} on" in done.stdout
    correct(done, 1e-8)


@pytest.mark.parametrize("check", BUGS)
def test_planted_bugs_are_found(checks: dict[str, Done], check: str) -> None:
    done = checks[check].result()
    wrong = BUGS[check][2].split()
    if not wrong:
        correct(done, 1e-8)
        return
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "backpropagation is WRONG"
    rows = table(done)
    assert [name for name, row in rows.items() if not row.relative < 1e-5] == wrong
    if check == "one element":
        assert rows["W1"].element == (400, 7)
        assert rows["W1"].worst == pytest.approx(1e-5, rel=0.06)  # two digits are printed
    if check == "NaN":
        assert rows["b2"].element == (3,)
        assert math.isnan(rows["b2"].worst)


@pytest.mark.parametrize(("options", "wanted"), [
    ("--backend nosuch", ["nosuch", "available here: numpy"]),
    ("--dtype float16", ["float16", "float32", "float64"]),
    ("--seed 1.5", ["--seed", "a whole number from 0", "got 1.5"]),
    ("--device gpu", ["gpu", "cpu, cuda"]),
    ("--epochs 3", ["--epochs"]),
])
def test_bad_options_of_gradient_check(shell: Shell, options: str, wanted: list[str]) -> None:
    refused(shell, lambda: shell.gradient_check(*options.split()), *wanted,
            program="gradient_check.py")
