from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folders import content
from in_process import script
from numpy.typing import NDArray
from shell import SCRIPTS, Shell, refused

from xpnet import Network, load_network

convert_weights = script("convert_weights")

RNG = np.random.default_rng(1)
Arrays = dict[str, NDArray[Any]]


def arrays(*shapes: tuple[int, ...], dtype: str = "float64") -> Arrays:
    """Draw W1, b1, … with weights of these shapes."""
    drawn: Arrays = {}
    for k, shape in enumerate(shapes, start=1):
        drawn[f"W{k}"] = RNG.standard_normal(shape).astype(dtype)
        drawn[f"b{k}"] = RNG.standard_normal(shape[0] if len(shape) == 4 else shape[1]).astype(dtype)
    return drawn


def converted(folder: Path, weights: Arrays, *options: object) -> Network:
    """Pickle weights, convert them, load the network, and see that it holds what was pickled."""
    (folder / "in.pkl").write_bytes(pickle.dumps(weights))
    arguments = [str(folder / "in.pkl"), str(folder / "out.safetensors"), *map(str, options)]
    assert convert_weights.main(arguments) == 0
    network = load_network(folder / "out.safetensors")
    assert set(network.params) == set(weights)
    for name, a in weights.items():
        np.testing.assert_array_equal(network.params[name], a)
        assert network.params[name].dtype == a.dtype
    return network


def affine_network(x: Any, weights: Arrays, activation: Any) -> Any:
    """Compute scores as the book's chapter 3.4 does."""
    depth = len(weights) // 2
    for k in range(1, depth + 1):
        x = x @ weights[f"W{k}"] + weights[f"b{k}"]
        if k < depth:
            x = activation(x)
    return x


ACTIVATIONS = {"sigmoid": lambda x: 1 / (1 + np.exp(-x)), "tanh": np.tanh,
               "relu": lambda x: np.where(x > 0, x, 0)}


@pytest.mark.parametrize(("shapes", "activation", "name"), [
    ([(5, 4), (4, 3)], "relu", "TwoLayerNet"),
    ([(5, 4), (4, 3)], "sigmoid", "MultiLayerNet"),
    ([(5, 4), (4, 6), (6, 3)], "sigmoid", "MultiLayerNet"),
    ([(5, 4), (4, 6), (6, 3)], "relu", "MultiLayerNet"),
    ([(5, 4), (4, 4), (4, 4), (4, 3)], "tanh", "MultiLayerNet"),
])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_affine_networks(
    tmp_path: Path, shapes: list[tuple[int, ...]], activation: str, name: str, dtype: str
) -> None:
    weights = arrays(*shapes, dtype=dtype)
    network = converted(tmp_path, weights, "--activation", activation)
    assert type(network).__name__ == name
    x = RNG.standard_normal((7, 5)).astype(dtype)
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(network.predict(x), affine_network(x, weights, ACTIVATIONS[activation]),
                               rtol=tolerance, atol=tolerance)


def test_without_an_activation(tmp_path: Path) -> None:
    weights = arrays((5, 3))
    network = converted(tmp_path, weights)
    assert type(network).__name__ == "MultiLayerNet"
    x = RNG.standard_normal((7, 5))
    np.testing.assert_allclose(network.predict(x), x @ weights["W1"] + weights["b1"], rtol=1e-12)


@pytest.mark.parametrize("name", ["TwoLayerNet", "MultiLayerNet"])
def test_network_that_is_named(tmp_path: Path, name: str) -> None:
    options = [] if name == "TwoLayerNet" else ["--activation", "relu"]
    weights = arrays((5, 4), (4, 3))
    assert type(converted(tmp_path, weights, "--network", name, *options)).__name__ == name


def test_transposed_views(tmp_path: Path) -> None:
    # As the book's sample_weight.pkl holds them. The format stores such views wrongly, silently.
    shapes = [(4, 5), (6, 4), (3, 6)]
    weights = {name: a.T if a.ndim == 2 else a for name, a in arrays(*shapes).items()}
    weights |= {f"b{k}": RNG.standard_normal(shape[0]) for k, shape in enumerate(shapes, start=1)}
    assert weights["W1"].flags.f_contiguous
    assert not weights["W1"].flags.c_contiguous
    converted(tmp_path, weights, "--activation", "sigmoid")


def test_simple_conv_net(tmp_path: Path) -> None:
    network = converted(tmp_path, arrays((3, 1, 5, 5), (3 * 12 * 12, 6), (6, 10)))
    assert type(network).__name__ == "SimpleConvNet"
    assert network.arguments == {
        "input_dim": [1, 28, 28],
        "conv_param": {"filter_num": 3, "filter_size": 5, "pad": 0, "stride": 1},
        "hidden_size": 6, "output_size": 10,
    }
    assert network.predict(np.zeros((2, 1, 28, 28))).shape == (2, 10)


def test_images_of_another_size(tmp_path: Path) -> None:
    weights = arrays((2, 3, 3, 3), (2 * 5 * 4, 6), (6, 4))
    network = converted(tmp_path, weights, "--input-dim", "3,12,10")
    assert network.arguments["input_dim"] == [3, 12, 10]
    assert network.predict(np.zeros((2, 3, 12, 10))).shape == (2, 4)


def test_deep_conv_net(tmp_path: Path) -> None:
    filters = [(2, 1), (3, 2), (2, 3), (2, 2), (1, 2), (4, 1)]
    weights = arrays(*[(*f, 3, 3) for f in filters], (4 * 4 * 4, 5), (5, 10), dtype="float32")
    network = converted(tmp_path, weights)
    assert type(network).__name__ == "DeepConvNet"
    assert [network.arguments[f"conv_param_{k}"]["filter_num"] for k in range(1, 7)] == [
        2, 3, 2, 2, 1, 4]
    assert [network.arguments[f"conv_param_{k}"]["pad"] for k in range(1, 7)] == [1, 1, 1, 2, 1, 1]
    assert network.predict(np.zeros((2, 1, 28, 28), np.float32)).shape == (2, 10)


def without(weights: Arrays, name: str) -> Arrays:
    return {key: a for key, a in weights.items() if key != name}


TWO = arrays((5, 4), (4, 3))
CONV = arrays((3, 1, 5, 5), (432, 6), (6, 10))


@pytest.mark.parametrize(("weights", "options", "named"), [
    (TWO, [], "--activation relu"),
    (arrays((5, 4), (4, 6), (6, 3)), [], "--activation relu"),
    (TWO, ["--network", "MultiLayerNet"], "--activation relu"),
    (TWO, ["--network", "TwoLayerNet", "--activation", "tanh"],
     "no TwoLayerNet has weights of shapes (5, 4), (4, 3) with tanh between"),
    (TWO, ["--network", "DeepConvNet"], "no DeepConvNet has weights of shapes (5, 4), (4, 3)"),
    (TWO, ["--activation", "relu", "--input-dim", "1,28,28"], "this is a TwoLayerNet"),
    (CONV, ["--activation", "sigmoid"], "no network of xpnet"),
    (CONV, ["--input-dim", "1,28"], "input_dim to be channels, height and width"),
    (CONV, ["--input-dim", "1,32,32"],
     'SimpleConvNet of images (1, 32, 32): "W2" of shape (588, 6) wanted; got (432, 6); --input-dim'),
    (CONV, ["--input-dim", "1,4,4"], "larger than the images"),
    (arrays((3, 1, 5, 4), (432, 6), (6, 10)), [], '"W1" of shape (3, 1, 5, 5) wanted'),
    (arrays((2, 2, 3, 3), (4, 6)), [], "no network of xpnet has weights of shapes (2, 2, 3, 3), (4, 6)"),
    (arrays((5, 4), (7, 3)), ["--activation", "relu"], '"W2" of shape (4, 3) wanted; got (7, 3)'),
    (TWO | {"b1": np.zeros((1, 4))}, ["--activation", "relu"], '"b1" of shape (4,) wanted; got (1, 4)'),
    (TWO | {"W1": TWO["W1"][None]}, ["--activation", "relu"], "(1, 5, 4), (4, 3)"),
    (TWO | {"W1": np.array(1.0)}, ["--activation", "relu"], "(), (4, 3)"),
    (TWO | {"b1": np.zeros(4, np.float32)}, ["--activation", "relu"], "float32 and float64"),
    (without(TWO, "b2"), [], "W1, W2, … and as many of b1, b2, … wanted; got 'W1', 'W2', 'b1'"),
    (without(without(TWO, "W1"), "b1"), [], "got 'W2', 'b2'"),
    (TWO | {"gamma1": np.ones(4), "beta1": np.ones(4)}, [], "got 'W1', 'W2', 'b1', 'b2', 'beta1'"),
    ({}, [], "got nothing"),
])
def test_arrays_of_no_network(
    tmp_path: Path, weights: Arrays, options: list[str], named: str
) -> None:
    (tmp_path / "in.pkl").write_bytes(pickle.dumps(weights))
    before = content(tmp_path)
    with pytest.raises(ValueError) as refusal:
        convert_weights.main([str(tmp_path / "in.pkl"), str(tmp_path / "out.safetensors"), *options])
    assert named in str(refusal.value)
    assert str(refusal.value).startswith(f"{tmp_path / 'in.pkl'}: ")
    assert content(tmp_path) == before


@pytest.mark.parametrize("out", ["there.safetensors", "in.pkl"])
def test_what_is_there_is_not_replaced(tmp_path: Path, out: str) -> None:
    (tmp_path / "in.pkl").write_bytes(pickle.dumps(CONV))
    (tmp_path / "there.safetensors").write_bytes(b"mine")
    before = content(tmp_path)
    with pytest.raises(ValueError, match="exists already"):
        convert_weights.main([str(tmp_path / "in.pkl"), str(tmp_path / out)])
    assert content(tmp_path) == before


def test_as_a_command(shell: Shell) -> None:
    (shell.folder / "in.pkl").write_bytes(pickle.dumps(TWO))
    done = shell.python(SCRIPTS / "convert_weights.py", "in.pkl", "out.safetensors",
                        "--activation", "relu")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "TwoLayerNet, 39 parameters of float64, out.safetensors\n"


def test_a_pickle_that_calls_something(shell: Shell) -> None:
    (shell.folder / "in.pkl").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    refused(shell, "convert_weights.py in.pkl out.safetensors",
            "in.pkl: no pickle of arrays: it names 'os.system', which no array needs")
