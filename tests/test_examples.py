"""The recipes of docs/accuracy.md, on a few rows, and their augmentation; and the programs of the guides."""

from __future__ import annotations

import io
import json
import math
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shell import ROOT, Shell, environment
from variants import Variant, make, params

import xpnet
from xpnet import SGD, Affine, Network, fit
from xpnet.functional import random_bits
from xpnet.testing import check_gradients

EXAMPLES = ROOT / "examples"
sys.path.insert(0, str(EXAMPLES))

import recipes
from augmentation import FlipAndShift

X = np.random.default_rng(0).standard_normal((6, 2, 5, 7))


def moved(x: Any, down: int, right: int, mirrored: bool) -> Any:
    """Mirror an image `(C, H, W)`, then move it, by slices."""
    out, (height, width) = np.zeros_like(x), x.shape[1:]
    x = x[:, :, ::-1] if mirrored else x
    rows, columns = (slice(max(n, 0), size + min(n, 0))
                     for n, size in ((down, height), (right, width)))
    from_rows, from_columns = (slice(max(-n, 0), size + min(-n, 0))
                               for n, size in ((down, height), (right, width)))
    out[:, rows, columns] = x[:, from_rows, from_columns]
    return out


def test_images_are_mirrored_and_moved(xp: Variant) -> None:
    counter = np.array([3, 5], np.int32)

    def both(x: Any, counter: Any) -> Any:
        layer = FlipAndShift(2).bind({}, counter=counter)
        return layer.forward(x), layer.backward(x)

    y, dx = xp.run(both, X, counter)
    bits = random_bits(counter, 0, (3, 6))
    down, right, mirrored = bits[0] % 5 - 2, bits[1] % 5 - 2, bits[2] % 2 == 1
    assert len(set(down)) > 1
    assert len(set(right)) > 1
    assert set(mirrored) == {True, False}
    xp.check(y, np.stack([moved(*each) for each in zip(X, down, right, mirrored, strict=True)]),
             rtol=0)
    back = [moved(x, -d, -r, False)[:, :, ::-1] if m else moved(x, -d, -r, False)
            for x, d, r, m in zip(X, down, right, mirrored, strict=True)]
    xp.check(dx, np.stack(back), rtol=0)


@pytest.mark.parametrize("axes", [(), (1,), (3,)])
def test_each_network_of_a_stack_moves_as_alone(xp: Variant, axes: tuple[int, ...]) -> None:
    def both(x: Any, dout: Any, counter: Any) -> Any:
        layer = FlipAndShift(2).bind({}, counter=counter)
        return layer.forward(x), layer.backward(dout)

    numpy, counters = make("numpy"), np.array([[3, 5], [4, 5], [3, 6]], np.int32)
    x = X * np.arange(1.0, 1 + math.prod(axes)).reshape(*axes, 1, 1, 1, 1)
    dout = np.stack([X, -X, 2 * X])
    each = np.broadcast_to(x, dout.shape)
    alone = [numpy.run(both, each[k], dout[k], counters[k]) for k in range(3)]
    y, dx = (np.stack(a) for a in zip(*alone, strict=True))
    xp.check_all(xp.run(both, x, dout, counters), (y, dx if axes else dx.sum(0)), rtol=1e-15)
    if axes == (3,):  # one seed moves all of them alike
        alone = [numpy.run(both, each[k], dout[k], counters[0]) for k in range(3)]
        found = xp.run(both, x, dout, counters[0])
        xp.check_all(found, [np.stack(a) for a in zip(*alone, strict=True)], rtol=0)


def test_members_of_a_stack_train_as_alone() -> None:
    rng = np.random.default_rng(1)
    x, t, W, b = (rng.standard_normal((6, 2, 5, 5)), rng.integers(0, 4, 6),
                  rng.standard_normal((3, 50, 4)), np.zeros((3, 4)))

    def trained(k: Any, seed: Any) -> Any:
        net = Network([FlipAndShift(1), Affine(W[k], b[k])])
        fit(net, x, t, optimizer=SGD(0.1), epochs=2, batch_size=3, seed=seed, progress=False)
        return net.params["W1"]

    stack = trained(slice(None), [0, 1, 2])
    for k in range(3):
        np.testing.assert_allclose(stack[k], trained(k, k), rtol=1e-12)


def test_a_shift_is_a_whole_number() -> None:
    for shift in (-1, 1.5, True):
        with pytest.raises(ValueError, match=r"FlipAndShift wants shift to be an integer from 0; got"):
            FlipAndShift(shift)  # type: ignore[arg-type]


def test_its_gradient_and_its_inference() -> None:
    layer = FlipAndShift(1, seed=2)
    assert check_gradients(layer.bind({}), X).verdict == "correct"
    np.testing.assert_array_equal(layer.forward(X, train_flg=False), X)
    np.testing.assert_array_equal(layer.backward(X), X)
    first, second = layer.forward(X), layer.forward(X)
    assert (first != second).any()
    upright = FlipAndShift(0, flip=False)
    np.testing.assert_array_equal(upright.forward(X), X)


@pytest.mark.parametrize(("name", "least", "most"), [
    ("fashion-mlp", 530_000, 540_000), ("fashion-conv-small", 70_000, 100_000),
    ("fashion-conv", 150_000, 500_000), ("digits-conv", 10_000, 100_000),
])
def test_networks_are_of_the_size_that_is_claimed(name: str, least: int, most: int) -> None:
    network = recipes.RECIPES[name].network(seed=0)
    assert least < sum(math.prod(p.shape) for p in network.params.values()) < most
    x = np.zeros((2, 1, 28, 28), np.float32)
    assert network.predict(x).shape == (2, 10)


def test_a_recipe_trains_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (x, t), (x_test, t_test) = xpnet.load_mnist(flatten=False)
    few = (x[:200], t[:200]), (x_test[:100], t_test[:100])
    monkeypatch.setattr(xpnet, "load_mnist", lambda **_: few)
    short = recipes.RECIPES["digits-conv"]._replace(epochs=2)
    monkeypatch.setitem(recipes.RECIPES, "digits-conv", short)
    command = ["recipes.py", "digits-conv", "--quiet", "--out", str(tmp_path / "runs"), "--seeds"]
    monkeypatch.setattr(sys, "argv", [*command, "0", "1"])
    recipes.main()
    said = capsys.readouterr().out
    assert said.count(" parameters, seed ") == 2
    assert "digits-conv: median 0." in said
    weights = (tmp_path / "runs" / "digits-conv-0.safetensors").read_bytes()
    monkeypatch.setattr(sys, "argv", [*command, "0"])
    recipes.main()  # which finds that all is done
    assert said.splitlines()[0] in capsys.readouterr().out
    assert (tmp_path / "runs" / "digits-conv-0.safetensors").read_bytes() == weights


def test_scikit_learn_on_tensors(shell: Shell) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("torch")
    with shell.within(60):
        done = shell.python(EXAMPLES / "sklearn_on_tensors.py")
    assert done.returncode == 0, done.stderr
    where, right = done.stdout.splitlines()
    assert where == "weights torch.float32 on cpu, predictions on cpu"
    assert float(re.findall(r"0\.\d+", right)[-1]) > 0.94


def test_a_cluster_finds_what_one_process_does(shell: Shell) -> None:
    for library in ("sklearn", "distributed"):
        pytest.importorskip(library)
    with shell.within(60):
        done = shell.python(EXAMPLES / "search_on_a_cluster.py")
    assert done.returncode == 0, done.stderr
    where, best = done.stdout.splitlines()
    assert re.fullmatch(r"2 workers of tcp://127\.0\.0\.1:\d+", where)
    alone = shell.python("-c", f"import sys; sys.path.insert(0, {str(EXAMPLES)!r})\n"
                         "from search_on_a_cluster import said, searched; print(said(searched()))")
    assert alone.stdout == f"{best}\n"
    assert float(re.findall(r"0\.\d+", best)[-1]) > 0.94


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has signals")
def test_ctrl_c_ends_the_workers(shell: Shell) -> None:
    for library in ("sklearn", "distributed"):
        pytest.importorskip(library)
    # A process started in the background may have been told to ignore SIGINT.
    heeding = ("import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
               "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])")
    with subprocess.Popen([sys.executable, "-c", heeding, EXAMPLES / "search_on_a_cluster.py"], cwd=shell.folder,
                          env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          start_new_session=True) as search:
        assert search.stdout is not None
        assert search.stdout.readline().startswith("2 workers of ")
        os.killpg(search.pid, signal.SIGINT)  # as a terminal does: the workers get it, too
        said, wrong = search.communicate(timeout=60)  # which ends when all that hold its pipes have ended
    assert (said, wrong, search.returncode) == ("", "", 130)


def test_a_scheduler_that_is_not_there(shell: Shell) -> None:
    for library in ("sklearn", "distributed"):
        pytest.importorskip(library)
    done = shell.python(EXAMPLES / "search_on_a_cluster.py", "--scheduler", "nowhere")
    assert done.returncode == 2
    assert done.stderr.endswith("error: --scheduler nowhere: missing port number in address 'nowhere'\n")


@pytest.mark.parametrize("backend", params("numpy", "torch", "jax", "cupy"))
def test_another_projects_layer_trains(shell: Shell, backend: str) -> None:
    with shell.within(60):
        done = shell.python(EXAMPLES / "another_project" / "train_snake.py", "--backend", backend,
                            gpu=backend == "cupy")
    assert done.returncode == 0, done.stderr
    seen, beyond = (float(line.rpartition(" ")[2]) for line in done.stdout.splitlines())
    assert seen > 0.99
    assert beyond > 0.8


def test_another_projects_own_tests(shell: Shell) -> None:
    with shell.within(60):
        done = shell.python("-m", "pytest", "-q", "-p", "no:cacheprovider", EXAMPLES / "another_project")
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_a_network_is_served_without_xpnet(shell: Shell) -> None:
    for library in ("onnxruntime", "ndonnx"):
        pytest.importorskip(library)
    folder = EXAMPLES / "serve_with_onnxruntime"
    with shell.within(60):
        done = shell.python(folder / "train_and_export.py", "digits.onnx")
        assert done.returncode == 0, done.stderr
        assert float(done.stdout.split()[0]) > 0.96
        # Without xpnet on the path, nor anything of this checkout.
        program = "import sys; sys.modules['xpnet'] = None; sys.argv = ['serve', 'digits.onnx', '--port', '0']\n"
        (shell.folder / "serve.py").write_text(program + f"exec(open({str(folder / 'serve.py')!r}).read())")
        with subprocess.Popen([sys.executable, "serve.py"], cwd=shell.folder, stdout=subprocess.PIPE,
                              env=environment(), text=True) as server:
            try:
                assert server.stdout is not None
                address = server.stdout.readline().strip()
                _, (x_test, t_test) = xpnet.load_mnist(flatten=False)
                found = posted(address, npy(x_test))
                assert np.mean([row["digit"] == t for row, t in zip(found, t_test, strict=True)]) > 0.96
                assert all(0.1 <= row["probability"] <= 1 for row in found)
                whole = npy(x_test[:2])
                for body, reason in (
                    (npy(x_test[..., :10]), "images of shape (N, 1, 28, 28) wanted; got (1000, 1, 28, 10) of float32"),
                    (npy(1j * x_test[:2]), "got (2, 1, 28, 28) of complex"), (npy(255 * x_test[:2]), "from 0 to 1"),
                    (npy(x_test[:2] * np.nan), "from 0 to 1"), (whole[:-4], "as many numbers as the file promises"),
                    (whole.replace(b"(2, 1", b"(9, 1"), "as many numbers as the file promises"),
                    (b"GIF89a", "a .npy file of images wanted"), (whole[:20], "a .npy file of images wanted"),
                    (b"", "a .npy file of images wanted"),
                ):
                    with pytest.raises(urllib.error.HTTPError) as refused:
                        posted(address, body)
                    with refused.value as answer:
                        assert answer.code == 400
                        assert reason in json.load(answer)["error"]
                taken = shell.python(folder / "serve.py", "digits.onnx", "--port", address.rpartition(":")[2])
                assert taken.returncode == 2
                assert "Address already in use" in taken.stderr
            finally:
                server.send_signal(signal.SIGINT)
                assert server.wait(20) == 0


def npy(images: Any) -> bytes:
    """Give the bytes of a .npy file."""
    file = io.BytesIO()
    np.save(file, images)
    return file.getvalue()


def posted(address: str, body: bytes) -> Any:
    """Post a body, and give the answer."""
    with urllib.request.urlopen(address, body, timeout=20) as answer:
        return json.load(answer)
