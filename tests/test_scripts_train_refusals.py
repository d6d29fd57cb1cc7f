from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from folders import content
from shell import RESULTS, SHIPPED, Shell, refused
from variants import params


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
    ("--hidden 5,0", ["--hidden", "a whole number from 1", "got 0"]),
    ("--hidden 5,", ["--hidden", "a whole number from 1", "got "]),
    ("--dropout 1", ["--dropout", "a number from 0 to below 1", "got 1"]),
    ("--dropout=-0.5", ["--dropout", "a number from 0 to below 1", "got -0.5"]),
    ("--patience 0", ["--patience", "a whole number from 1", "got 0"]),
    ("--optimizer nosuch", ["--optimizer", "nosuch", "nesterov"]),
    ("--network nosuch", ["--network", "nosuch", "simple-conv"]),
    ("--network simple-conv --batch-norm", ["--batch-norm", "go with --network mlp"]),
    ("--network deep-conv --dropout 0.5", ["--dropout", "go with --network mlp"]),
    ("--network simple-conv --hidden 5,5", ["several --hidden", "go with --network mlp"]),
    ("--resume nosuch", ["nosuch/options.json", "No such file"]),
    ("--resume empty", ["empty/options.json", "No such file"]),
    ("--resume empty --out run", ["--resume goes on in its own folder: leave out --out"]),
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
    ("--out=", ["--out", "a folder is wanted; got an empty name"]),
    ("--hidden 1000000000000", ["not enough memory"]),
    (f"--hidden {10**30}", ["dimension"]),
])
def test_bad_options(shell: Shell, options: str, wanted: list[str]) -> None:
    (shell.folder / "empty").mkdir()
    (shell.folder / "file").write_text("mine")
    refused(shell, f"train.py {options}", *wanted)


@pytest.mark.parametrize(("library", "wanted"), [
    pytest.param(*p.values, name, marks=p.marks)
    for p, name in zip(params("torch", "jax"), ("PyTorch", "JAX"), strict=True)
])
def test_device_that_a_library_has_not(shell: Shell, library: str, wanted: str) -> None:
    refused(shell, f"train.py --backend {library} --device cuda", wanted, "no device 'cuda' here")


@pytest.mark.parametrize("library", params("torch"))
def test_device_without_values(shell: Shell, library: str) -> None:
    refused(shell, f"train.py --backend {library} --device meta", "meta")


@pytest.mark.parametrize("library", params("torch"))
def test_gpu_memory_that_is_not_enough(shell: Shell, library: str) -> None:
    # PyTorch's is a RuntimeError, not a MemoryError; JAX's is a RuntimeError too.
    full = ("import torch, xpnet.training.trainer as trainer\n"
            "def batches(*_): raise torch.OutOfMemoryError('CUDA out of memory.\\nTried 9 GiB')\n"
            "trainer.epoch_batches = batches")
    refused(shell, f"train.py --backend {library} --quiet --out run", "out of memory. Tried 9 GiB",
            prelude=full)


NO_CUPY = """
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "cupy" else find_spec(name, *rest)
"""

# As much of CuPy as is there before a GPU has been found.
FAKE_CUPY = """
import importlib.machinery, numpy, sys, types
cupy = types.ModuleType("cupy")
cupy.__spec__ = importlib.machinery.ModuleSpec("cupy", None)
cupy.__version__ = "14.0.0"
cupy.is_available = lambda: {gpus} > 0
cupy.dtype, cupy.ElementwiseKernel = numpy.dtype, lambda *text: None
cupy.cuda = types.SimpleNamespace(runtime=types.SimpleNamespace(getDeviceCount=lambda: {gpus}))
sys.modules["cupy"] = cupy
sys.modules["array_api_compat.cupy"] = types.ModuleType("array_api_compat.cupy")
"""


@pytest.mark.parametrize(("script", "options"), [
    ("train.py", "--device cuda"), ("train.py", "--backend cupy"),
    ("gradient_check.py", "--device cuda:7"),
])
def test_without_cupy(shell: Shell, script: str, options: str) -> None:
    refused(shell, f"{script} {options}", "cupy", "not installed", "xpnet[cuda13]", prelude=NO_CUPY)


@pytest.mark.parametrize("options", ["--device cuda", "--device cuda:7", "--backend cupy"])
def test_cupy_without_a_gpu(shell: Shell, options: str) -> None:
    refused(shell, f"train.py {options}", "no CUDA GPU", "14.0.0", "driver",
            prelude=FAKE_CUPY.format(gpus=0))


def test_a_gpu_that_is_not_there(shell: Shell) -> None:
    refused(shell, "train.py --device cuda:7", "no CUDA GPU '7'", "cuda:0, cuda:1",
            prelude=FAKE_CUPY.format(gpus=2))


@pytest.mark.parametrize("library", params("numpy", "torch", "jax"))
def test_tf32_without_a_gpu(shell: Shell, library: str) -> None:
    refused(shell, f"train.py --tf32 --backend {library}", library, "has no TF32")


def test_a_run_with_tf32_goes_on_without_a_gpu(shell: Shell) -> None:
    shell.train("--quiet", "--no-plot", "--epochs", 1, "--out", "run")
    path = shell.folder / "run" / "options.json"
    path.write_text(path.read_text().replace('"tf32": false', '"tf32": true'))
    refused(shell, "train.py --quiet --no-plot --epochs 2 --resume run", "has no TF32")
    done = shell.train("--quiet", "--no-plot", "--epochs", 2, "--resume", "run", "--no-tf32")
    assert done.returncode == 0, done.stderr
    assert '"tf32": false' in path.read_text()


@pytest.mark.parametrize(("gpus", "listed"), [(0, False), (1, True)])
def test_cupy_is_offered_only_with_a_gpu(shell: Shell, gpus: int, listed: bool) -> None:
    line = refused(shell, "train.py --backend nosuch", "nosuch",
                   prelude=FAKE_CUPY.format(gpus=gpus))
    offered = line.partition("available here: ")[2].partition(";")[0].split(", ")
    assert "numpy" in offered
    assert ("cupy" in offered) is listed


def data(shell: Shell) -> Path:
    return Path(shutil.copytree(SHIPPED, shell.folder / "data"))


def test_truncated_data_file(shell: Shell) -> None:
    path = data(shell) / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-1000])
    refused(shell, "train.py --data-dir data", "data/t10k-images-idx3-ubyte.gz", "truncated")


def test_missing_data_file(shell: Shell) -> None:
    (data(shell) / "t10k-images-idx3-ubyte.gz").unlink()
    refused(shell, "train.py --data-dir data", "data", "t10k-images-idx3-ubyte", "missing")


def test_images_and_labels_swapped(shell: Shell) -> None:
    images = data(shell) / "train-images-idx3-ubyte.gz"
    labels = images.with_name("train-labels-idx1-ubyte.gz")
    images.rename(shell.folder / "aside")
    labels.rename(images)
    (shell.folder / "aside").rename(labels)
    refused(shell, "train.py --data-dir data", "data/train-images-idx3-ubyte.gz",
            "labels (1 dimension) where images (3 dimensions) are wanted")


@pytest.mark.parametrize("name", RESULTS)
def test_a_folder_that_holds_a_run(shell: Shell, name: str) -> None:
    (shell.folder / "run").mkdir()
    (shell.folder / "run" / name).write_bytes(b"of the run before")
    refused(shell, "train.py --out run", f"run already holds a run ({name})", "--out")


@pytest.mark.parametrize("text", ["", "[]", "{", '"mlp"'])
def test_options_that_are_broken(shell: Shell, text: str) -> None:
    (shell.folder / "run").mkdir()
    (shell.folder / "run/options.json").write_text(text)
    refused(shell, "train.py --resume run", "run/options.json: not what train.py has written")


@pytest.mark.parametrize(("options", "wanted"), [
    ("--batch-size 50", "--resume goes on with --batch-size 100; got 50"),
    ("--seed 1", "--resume goes on with --seed 0; got 1"),
    ("--hidden 4", "--resume goes on with --hidden [3]; got [4]"),
    ("--optimizer adam", "--resume goes on with --optimizer sgd; got adam"),
    ("--patience 3", "--resume goes on with --patience None; got 3"),
])
def test_a_run_that_is_resumed_as_another(shell: Shell, options: str, wanted: str) -> None:
    done = shell.train("--quiet", "--no-plot", "--epochs", 1, "--hidden", 3, "--out", "run")
    assert done.returncode == 0
    refused(shell, f"train.py --resume run --quiet --no-plot {options}", wanted)


@pytest.mark.parametrize("library", params("numpy", "strict", "torch"))
def test_loss_that_becomes_nan(shell: Shell, library: str) -> None:
    line = refused(shell, f"train.py --lr 1e20 --quiet --backend {library} --out run",
                   "learning rate")
    assert re.search(r"the loss became (nan|inf) at step \d+ of epoch 1", line)


@pytest.mark.parametrize("out", ["", "--out deep/er/run", "--out there"])
def test_loss_that_becomes_nan_leaves_no_folder(shell: Shell, out: str) -> None:
    (shell.folder / "there").mkdir()
    done = shell.train("--lr", "1e20", "--quiet", *out.split())
    assert done.returncode == 2
    assert content(shell.folder) == {"there": None}


def test_loss_that_becomes_nan_with_the_progress_bar(shell: Shell) -> None:
    done = shell.train("--lr", "1e20", "--out", "run")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert lines[-1].startswith("train.py: the loss became ")
    assert all("samples" in line or not line for line in lines[:-1]), lines  # the bar
    assert content(shell.folder) == {}


@pytest.mark.parametrize(("library", "options"), [
    ("safetensors", "--quiet --no-plot"), ("matplotlib", "--quiet"), ("tqdm", "--no-plot"),
])
def test_missing_extra_is_told_before_training(shell: Shell, library: str, options: str) -> None:
    # 10**9 epochs: if it is told after training, this does not end.
    absent = (f"sys.modules.update(dict.fromkeys(['{library}', '{library}.numpy', "
              f"'{library}.figure', '{library}.auto']))\n"
              "import xpnet.training.trainer as trainer\n"
              "def trained(*_): raise AssertionError('it trains')\n"
              "trainer.epoch_batches = trained")
    refused(shell, f"train.py --epochs {10**9} --out run {options}",
            f"{library}, which is not installed", "xpnet[train]", prelude=absent)


@pytest.mark.parametrize("broken", ["a file", "a link to nowhere"])
def test_runs_that_is_no_folder(shell: Shell, broken: str) -> None:
    runs = shell.folder / "runs"
    if broken == "a file":
        runs.write_text("mine")
    else:
        runs.symlink_to("nowhere")
    refused(shell, "train.py --quiet", "runs")
