from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folders import content
from in_process import script
from numpy.typing import NDArray
from shell import SHIPPED, Shell, refused
from test_training_figures import picture, pixels
from variants import params

from xpnet import Affine, MeanSquaredError, MultiLayerNet, Network, load_mnist, save_weights

evaluate = script("evaluate")

TRAIN, (X, labels) = load_mnist()


def nearest_mean(dtype: str = "float32") -> MultiLayerNet:
    """Make a classifier without training: scores `x·m - |m|²/2` of the classes' mean images."""
    x, t = TRAIN
    means = np.stack([x[t == k].mean(axis=0) for k in range(10)]).astype(dtype)
    network = MultiLayerNet(784, [], 10, dtype=dtype)
    network.params["W1"] = np.ascontiguousarray(means.T)
    network.params["b1"] = -(means**2).sum(axis=1) / 2
    return network


def probabilities() -> NDArray[Any]:
    network = nearest_mean("float64")
    scores = X.astype(np.float64) @ network.params["W1"] + network.params["b1"]
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    save_weights(tmp_path / "run/weights.safetensors", nearest_mean())
    return tmp_path / "run/weights.safetensors"


def figures(text: str) -> tuple[float, float, dict[str, float]]:
    """Read loss, accuracy and accuracies by class from what is printed."""
    first, *rest = text.splitlines()
    found = re.fullmatch(r"mnist-5k: loss (\d\.\d{4}), accuracy (\d\.\d{4}) of 1000 images", first)
    assert found, first
    of_class = re.findall(r"(\d) (\d\.\d{3})", " ".join(rest[:2]))
    return float(found[1]), float(found[2]), {name: float(share) for name, share in of_class}


def check(text: str) -> None:
    p = probabilities()
    loss, accuracy, of_class = figures(text)
    assert loss == pytest.approx(-np.log(p[np.arange(1000), labels]).mean(), abs=1e-4)
    assert accuracy == pytest.approx((p.argmax(axis=1) == labels).mean(), abs=1.1e-3)
    assert 0.7 < accuracy < 0.9
    assert of_class == {
        str(k): pytest.approx((p[labels == k].argmax(axis=1) == k).mean(), abs=0.011) for k in range(10)}
    assert len({*of_class.values()}) > 5


def test_figures_and_pictures(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main([str(weights)]) == 0
    text = capsys.readouterr().out
    check(text)
    assert text.splitlines()[-1] == f"{weights.parent}/confusion.png, {weights.parent}/mistakes.png"
    assert sorted(path.name for path in weights.parent.iterdir()) == [
        "confusion.png", "mistakes.png", "weights.safetensors"]
    assert pixels(picture(weights.parent / "mistakes.png"), "#c0392b") > 24 * 3


@pytest.mark.parametrize("size", [7, 100, 5000])
def test_batches(
    weights: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    rows: list[int] = []
    forward = Affine.forward

    def spy(layer: Affine, x: Any) -> Any:
        rows.append(len(x))
        return forward(layer, x)

    monkeypatch.setattr(Affine, "forward", spy)
    options = [] if size == 100 else ["--batch-size", str(size)]
    assert evaluate.main([str(weights), "--no-plot", *options]) == 0
    check(capsys.readouterr().out)
    assert max(rows) == min(size, 1000)


@pytest.mark.parametrize("options", [
    ["--dtype", "float64"], ["--data-dir", str(SHIPPED)], ["--dataset", "mnist-5k"],
])
def test_options(weights: Path, capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    before = content(weights.parent)
    assert evaluate.main([str(weights.parent), "--no-plot", *options]) == 0
    check(capsys.readouterr().out)
    assert content(weights.parent) == before


@pytest.mark.parametrize("library", params("torch", "strict"))
def test_other_libraries(
    weights: Path, capsys: pytest.CaptureFixture[str], library: str
) -> None:
    assert evaluate.main([str(weights), "--no-plot", "--backend", library]) == 0
    check(capsys.readouterr().out)


def test_what_is_drawn(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, Any] = {}
    for name in ("draw_confusion", "draw_mistakes"):
        monkeypatch.setattr(evaluate, name, lambda path, *rest, name=name: drawn.update(
            {name: (path, *rest)}))
    evaluate.main([str(weights), "--out", str(tmp_path / "deep/er")])
    assert (tmp_path / "deep/er").is_dir()
    p = probabilities()
    path, counts, classes = drawn["draw_confusion"]
    assert (path, classes) == (tmp_path / "deep/er/confusion.png", tuple("0123456789"))
    said = p.argmax(axis=1)
    wanted = np.array([[((labels == i) & (said == j)).sum() for j in range(10)] for i in range(10)])
    assert np.abs(counts - wanted).sum() <= 2  # an image may lie on the edge
    path, x, t, given, classes = drawn["draw_mistakes"]
    assert (path, classes) == (tmp_path / "deep/er/mistakes.png", tuple("0123456789"))
    np.testing.assert_array_equal(x, X.reshape(1000, 28, 28))
    np.testing.assert_array_equal(t, labels)
    np.testing.assert_allclose(given, p, atol=1e-5)


def test_the_data_set_it_was_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def load(*, dataset: str, **_: object) -> Any:
        asked.append(dataset)
        return load_mnist(flatten=False)

    monkeypatch.setattr(evaluate, "load_mnist", load)
    for name in ("my own", "fashion-mnist"):
        save_weights(tmp_path / "w.safetensors", nearest_mean(), {"dataset": name})
        evaluate.main([str(tmp_path / "w.safetensors"), "--no-plot"])
    evaluate.main([str(tmp_path / "w.safetensors"), "--no-plot", "--dataset", "mnist"])
    assert asked == ["mnist-5k", "fashion-mnist", "mnist"]


def test_a_class_without_images(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.of_each_class(np.array([[3, 1], [0, 0]]), ["a", "b"]) == ["a 0.750", "b none"]


OWN = """
from xpnet import Affine, Network
import numpy as np
def make():
    return Network([Affine(np.zeros((784, 10), np.float32), np.zeros(10, np.float32))])
def wants(size): pass
number = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_network.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])  # it gets the folder that one is in
    monkeypatch.delitem(sys.modules, "own_network", raising=False)


@pytest.mark.usefixtures("own")
def test_own_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    p = nearest_mean().params
    save_weights(tmp_path / "w.safetensors", Network([Affine(p["W1"], p["b1"])]))
    assert evaluate.main(["w.safetensors", "--network", "own_network:make", "--no-plot"]) == 0
    check(capsys.readouterr().out)


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(("options", "named"), [
    ("", "xpnet cannot make its network, Network"),
    ("--network own_network", "a module and a name, as mypackage.mymodule:name; got own_network"),
    ("--network own_network:nosuch", "nosuch"),
    ("--network own_network:wants", "size"),
    ("--network own_network:number", "makes 3, which is no xpnet.Network"),
    ("--network own_network:make --backend numpy", "do not go with it"),
    ("--network own_network:make --dtype float32", "do not go with it"),
])
def test_own_network_that_is_none(tmp_path: Path, options: str, named: str) -> None:
    p = nearest_mean().params
    save_weights(tmp_path / "w.safetensors", Network([Affine(p["W1"], p["b1"])]))
    with pytest.raises(ValueError, match=re.escape(named)):
        evaluate.main(["w.safetensors", *options.split()])


@pytest.mark.parametrize(("network", "named"), [
    (MultiLayerNet(784, [], 10, seed=[0, 1]), "one network wanted; this is a stack of them"),
    (MultiLayerNet(784, [], 11), "mnist-5k has 10 classes, the network 11"),
    (MultiLayerNet(784, [], 9), "labels from 0 to 8 wanted; got 0 to 9"),
    (MultiLayerNet(783, [], 10), "783"),
])
def test_networks_that_do_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], network: Network, named: str
) -> None:
    save_weights(tmp_path / "w.safetensors", network)
    with pytest.raises(ValueError, match=named):
        evaluate.main([str(tmp_path / "w.safetensors"), "--out", str(tmp_path / "out")])
    assert capsys.readouterr().out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_a_network_that_does_not_classify(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network([Affine(np.zeros((784, 1)), np.zeros(1))], MeanSquaredError())
    save_weights(tmp_path / "w.safetensors", network)
    monkeypatch.setattr(script("_network"), "own_network", lambda _: network)
    with pytest.raises(ValueError, match=r"SoftmaxWithLoss, for classes, wanted; .* MeanSquaredError"):
        evaluate.main([str(tmp_path / "w.safetensors"), "--network", "its:own"])


@pytest.mark.parametrize(("command", "wanted"), [
    ("nosuch", ["nosuch", "No such file"]),
    (".", ["weights.safetensors", "No such file"]),
    ("file", ["file", "not a whole safetensors file"]),
])
def test_no_weights(shell: Shell, command: str, wanted: list[str]) -> None:
    (shell.folder / "file").write_text("mine")
    refused(shell, f"evaluate.py {command}", *wanted)


def test_no_data(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no mnist-5k here"):
        evaluate.main([str(weights), "--data-dir", str(tmp_path)])


def test_no_folder_for_the_pictures(shell: Shell) -> None:
    save_weights(shell.folder / "weights.safetensors", nearest_mean())
    (shell.folder / "file").write_text("mine")
    refused(shell, "evaluate.py . --out file/pictures", "file")


def test_without_matplotlib(shell: Shell) -> None:
    save_weights(shell.folder / "weights.safetensors", nearest_mean())
    refused(shell, "evaluate.py .", "matplotlib, which is not installed", "xpnet[train]",
            prelude="sys.modules['matplotlib'] = None")
