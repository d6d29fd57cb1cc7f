#!/usr/bin/env python3
"""Size and speed of exported ONNX models: xpnet's, and PyTorch's of the same networks.

All run in onnxruntime, and must give the same scores before anything is timed. Rounds are interleaved; see
README.md.
"""

from __future__ import annotations

import io
import logging
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.processes import compare, options_of, threads_of
from benchmarks.report import Times, interleaved, quartiles, ratios, table, unit_of
from xpnet import MultiLayerNet, Network
from xpnet.networks import DeepConvNet, SimpleConvNet
from xpnet.onnx import export
from xpnet.onnx.graph import Graph

Array = Any
Shape = tuple[int, ...]
TORCH, OLDER = "PyTorch's export", "PyTorch's export, dynamo=False"
BATCHES = (1, 100)


def networks(tiny: bool) -> dict[str, tuple[Network, Shape]]:
    """Give networks with He's weights, and the shape of a row; or small ones, to be compared alone."""
    made: dict[str, tuple[Network, Shape]] = {}
    all_sizes = [(20, 16, 10)] * 2 if tiny else [(784, 50, 10), (784, 1024, 1024, 10), (784, 100, 100, 100, 100, 10)]
    for k, sizes in enumerate(all_sizes):
        D, *hidden, C = sizes
        normalised = k == len(all_sizes) - 1
        title = "-".join(map(str, sizes)) + ", batch normalisation" * normalised
        made[title] = MultiLayerNet(D, hidden, C, use_batchnorm=normalised, seed=0, dtype="float32"), (D,)
    shape, hidden_size = ((1, 14, 14), 5) if tiny else ((1, 28, 28), 50)
    made["SimpleConvNet"] = SimpleConvNet(shape, weight_init_std="he", seed=0, dtype="float32"), shape
    made["DeepConvNet"] = DeepConvNet(shape, hidden_size=hidden_size, seed=0, dtype="float32"), shape
    return made


def module(network: Network) -> Any:
    """Make the network of PyTorch's modules."""
    import torch

    def of(a: Array) -> Any:
        return torch.nn.Parameter(torch.from_numpy(np.array(a)))

    class Scaled(torch.nn.Module):  # type: ignore[misc]
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = factor

        def forward(self, x: Any) -> Any:
            return x * self.factor

    made: list[Any] = []
    for layer in network.leaves():
        has: dict[str, Any] = vars(layer)
        kind = type(layer).__name__
        if kind == "Affine":
            made += [torch.nn.Flatten()] * any(isinstance(one, torch.nn.Conv2d) for one in made)
            made.append(torch.nn.Linear(*has["W"].shape))
            made[-1].weight, made[-1].bias = of(has["W"].T), of(has["b"])
        elif kind == "Convolution":
            FN, C, *size = has["W"].shape
            made.append(torch.nn.Conv2d(C, FN, size, has["stride"], has["pad"]))
            made[-1].weight, made[-1].bias = of(has["W"]), of(has["b"])
        elif kind == "BatchNormalization":
            made.append(torch.nn.BatchNorm1d(len(has["gamma"]), has["eps"]))
            made[-1].weight, made[-1].bias = of(has["gamma"]), of(has["beta"])
        elif kind == "MaxPooling":
            made.append(torch.nn.MaxPool2d(has["size"], has["stride"], has["pad"]))
        else:
            made.append(Scaled(1 - has["dropout_ratio"]) if kind == "Dropout" else torch.nn.ReLU())
    return torch.nn.Sequential(*made).eval()


def of_torch(network: Network, shape: Shape, dynamo: bool) -> bytes:
    """Export from PyTorch, by `torch.export` or by the older tracing, with any number of rows."""
    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="copyreg|torch|__main__")  # that the older one is old, and the like
    x, names = torch.zeros(2, *shape), {"input_names": ["x"], "output_names": ["scores"]}
    if not dynamo:
        file = io.BytesIO()
        torch.onnx.export(module(network), (x,), file, dynamo=False, dynamic_axes={"x": {0: "N"}}, **names)
        return file.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(module(network), (x,), path, dynamo=True, verbose=False, external_data=False,
                          dynamic_shapes=({0: torch.export.Dim.DYNAMIC},), **names)
        return path.read_bytes()


def of_xpnet(network: Network, shape: Shape, predictions: bool = False) -> bytes:
    """Export."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export(network, path, shape, predictions=predictions)
        return path.read_bytes()


def as_written(network: Network, shape: Shape) -> bytes:
    """Trace without ONNX's own operators in the place of functions: why there are any."""
    graph = Graph(shape, np.dtype("float32"))
    held = {**network.params, **network.state}
    arrays = {name: graph.constant(name, np.asarray(a)) for name, a in held.items()}
    bound = network.bind({name: arrays[name] for name in network.params},
                         {name: arrays[name] for name in network.state})
    raw: bytes = graph.model({"scores": bound.predict(graph.x)}).SerializeToString()
    return raw


EXPORTS: dict[str, Callable[[Network, Shape], bytes]] = {
    TORCH: lambda network, shape: of_torch(network, shape, dynamo=True),
    OLDER: lambda network, shape: of_torch(network, shape, dynamo=False),
    "xpnet": of_xpnet,
    "xpnet, predictions=True": lambda network, shape: of_xpnet(network, shape, predictions=True),
    "xpnet, layers as written": as_written,
}


def sessions(models: dict[str, bytes], threads: int) -> dict[str, Any]:
    """Load models in onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    return {name: onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
            for name, raw in models.items()}


def agree(title: str, network: Network, found: dict[str, Any], x: Array) -> float:
    """See that all give the network's scores, in relation to the largest one."""
    expected = network.predict(x)
    worst = 0.0
    for name, session in found.items():
        off = float(np.max(np.abs(session.run(["scores"], {"x": x})[0] - expected)) / np.max(np.abs(expected)))
        if not off <= 2e-6:
            raise SystemExit(f"{title}, {len(x)} rows: the scores of {name} are {off:.1e} off")
        worst = max(worst, off)
    return worst


def timed(found: dict[str, Any], x: Array, rounds: int, seconds: float) -> Times:
    """Time a call of each with all outputs, on average over as many calls as take some time."""
    def task(session: Any, calls: int) -> Any:
        def run() -> None:
            for _ in range(calls):
                session.run(None, {"x": x})

        def prepare(k: int) -> Any:
            session.run(None, {"x": x})
            return run
        return prepare

    once = interleaved({name: task(session, 1) for name, session in found.items()}, 5)
    calls = max(1, int(seconds / min(once[TORCH])))
    times = interleaved({name: task(session, calls) for name, session in found.items()}, rounds)
    return {name: [each / calls for each in took] for name, took in times.items()}


def run(threads: int, quick: bool) -> dict[str, Any]:
    """Compare and time everybody in this process."""
    times: dict[str, Times] = {}
    sizes: dict[str, dict[str, int]] = {}
    for title, (network, shape) in networks(tiny=False).items():
        models = {name: make(network, shape) for name, make in EXPORTS.items()}
        sizes[title] = {name: len(raw) for name, raw in models.items()}
        found = sessions(models, threads)
        for n in BATCHES:
            x = np.random.default_rng(n).random((n, *shape), np.float32)
            worst = agree(title, network, found, x)
            rows = f"{n} row{'s' * (n > 1)}"
            print(f"{threads_of(threads)}: {title}, {rows}: the scores agree to {worst:.1e}", file=sys.stderr)
            times[f"{title}, {rows}"] = timed(found, x, 7 if quick else 41, 0.005 if quick else 0.02)
    return {"times": times, "sizes": sizes, "missing": []}


def time_table(times: dict[str, Times]) -> str:
    """Give the medians of the ratios to PyTorch's export in the same round, with quartiles; and its times."""
    rows = []
    for title, each in times.items():
        row = [title, unit_of(quartiles(each[TORCH])[1])]
        for name, (low, median, high) in ratios(each, TORCH).items():
            row += [] if name == TORCH else [f"{median:.2f} ({low:.2f} to {high:.2f})"]
        rows.append(row)
    return table(["", *EXPORTS], rows)


def size_table(sizes: dict[str, dict[str, int]]) -> str:
    """Give bytes, and for others than PyTorch's export their ratio to its."""
    rows = [[title, f"{each[TORCH]:,}", *(f"{size / each[TORCH]:.3f}" for name, size in each.items() if name != TORCH)]
            for title, each in sizes.items()]
    return table(["", *EXPORTS], rows)


def main() -> None:
    """Compare, measure, print."""
    options = options_of(str(__doc__), quick="fewer rounds: half a minute").parse_args()
    if options.check:
        for title, (network, shape) in networks(tiny=True).items():
            found = sessions({name: make(network, shape) for name, make in EXPORTS.items()}, 1)
            for n in BATCHES:
                worst = agree(title, network, found, np.random.default_rng(n).random((n, *shape), np.float32))
                print(f"{title}, {n}: the scores agree to {worst:.1e}: {', '.join(found)}")
        return
    compare("onnx_export.py", options, run, lambda found: [
        (f"Times {TORCH}", time_table(found["times"])), ("Bytes", size_table(found["sizes"]))])


if __name__ == "__main__":
    main()
