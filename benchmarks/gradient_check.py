#!/usr/bin/env python3
"""Time the check of the gradients of 784-50-10, three images: the book, xpnet, PyTorch, JAX.

All 39,760 parameters, in float64. Before anything is timed, all must compute the same. Each round
runs every row, so that whatever else the machine does falls on all of them.
"""

from __future__ import annotations

import argparse
import collections
import os
import statistics
import time
import tracemalloc
from collections.abc import Callable, Mapping
from typing import Any

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
for option, default, meaning in (("--threads", 1, "of each library"), ("--rounds", 3, "of all rows")):
    parser.add_argument(option, type=int, default=default, choices=range(1, 100), metavar="N",
                        help=f"{meaning} (default: {default})")
options = parser.parse_args()
# Before the imports, which is when the libraries look. NPROC is JAX's.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"):
    os.environ[variable] = str(options.threads)
if options.threads == 1:
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import numpy as np

from xpnet import TwoLayerNet, load_mnist
from xpnet.testing import check_gradients

Array = Any
Row = Callable[[TwoLayerNet], str]  # checks the network's gradients, and gives its verdict
images, labels = load_mnist()[0]
x, t = images[:3].astype("float64"), labels[:3].astype("int64")


class _Affine:
    def __init__(self, W: Array, b: Array) -> None:
        self.W, self.b = W, b

    def forward(self, x: Array) -> Array:
        self.original_x_shape = x.shape
        self.x = x.reshape(x.shape[0], -1)
        return np.dot(self.x, self.W) + self.b


class _Relu:
    def forward(self, x: Array) -> Array:
        self.mask = x <= 0
        out = x.copy()
        out[self.mask] = 0
        return out


class BookNet:
    """The network of "Deep Learning from Scratch", chapter 5, without backpropagation.

    After common/layers.py, common/gradient.py and ch05/two_layer_net.py of the book's repository.
    Copyright (c) 2016 Koki Saitoh, MIT licence.
    """

    def __init__(self, params: Mapping[str, Array]) -> None:
        self.params = p = {name: values.copy() for name, values in params.items()}
        self.layers: list[_Affine | _Relu] = [
            _Affine(p["W1"], p["b1"]), _Relu(), _Affine(p["W2"], p["b2"])]

    def loss(self, x: Array, t: Array, delta: float = 1e-7) -> float:
        """Compute the cross-entropy; the book adds `delta`, for fear of log(0)."""
        for layer in self.layers:
            x = layer.forward(x)
        x = x - np.max(x, axis=-1, keepdims=True)
        self.y = np.exp(x) / np.sum(np.exp(x), axis=-1, keepdims=True)
        batch_size = self.y.shape[0]
        return -np.sum(np.log(self.y[np.arange(batch_size), t] + delta)) / batch_size

    def numerical_gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """Change one element after the other."""
        h, grads = 1e-4, {}
        for name, p in self.params.items():
            grads[name] = np.zeros_like(p)
            it = np.nditer(p, flags=["multi_index"], op_flags=[["readwrite"]])
            while not it.finished:
                idx = it.multi_index
                tmp_val = p[idx]
                p[idx] = tmp_val + h
                fxh1 = self.loss(x, t)
                p[idx] = tmp_val - h
                fxh2 = self.loss(x, t)
                grads[name][idx] = (fxh1 - fxh2) / (2 * h)
                p[idx] = tmp_val
                it.iternext()
        return grads


def compare(network: TwoLayerNet, numerical: Mapping[str, Array], whose: str) -> str:
    """Hold numerical gradients against backpropagation."""
    worst = max(np.max(np.abs(g - numerical[name])) for name, g in network.gradient(x, t).items())
    if not worst <= 1e-6:
        raise SystemExit(f"{whose}: {worst:.1e} off backpropagation")
    return f"{worst:.0e} off"


def book(network: TwoLayerNet) -> str:
    """Run the book's loop."""
    return compare(network, BookNet(network.params).numerical_gradient(x, t), "the book's loop")


def ours(network: TwoLayerNet, **keywords: Any) -> str:
    """Run `check_gradients`."""
    return check_gradients(network, x, t, **keywords).verdict


def torch_rows(losses: dict[str, float], network: TwoLayerNet) -> dict[str, Row]:
    """Add the loss in PyTorch, and give the rows of gradcheck at its defaults."""
    import torch
    torch.set_num_threads(options.threads)
    images, labels = torch.from_numpy(x), torch.from_numpy(t)

    def loss(W1: Array, b1: Array, W2: Array, b2: Array) -> Array:
        scores = torch.relu(images @ W1 + b1) @ W2 + b2
        return torch.nn.functional.cross_entropy(scores, labels)

    def row(network: TwoLayerNet, fast_mode: bool) -> str:
        params = [torch.tensor(p, requires_grad=True) for p in network.params.values()]
        right = torch.autograd.gradcheck(loss, params, fast_mode=fast_mode, raise_exception=False)
        return "passes" if right else "fails"

    losses["PyTorch"] = loss(*map(torch.from_numpy, network.params.values())).item()
    return {"PyTorch gradcheck": lambda network: row(network, fast_mode=False),
            "PyTorch gradcheck, fast_mode": lambda network: row(network, fast_mode=True)}


def jax_rows(losses: dict[str, float], network: TwoLayerNet) -> dict[str, Row]:
    """Add the loss in JAX, and give the rows of a loop and of check_grads at its defaults."""
    import jax
    import jax.test_util
    jax.config.update("jax_enable_x64", True)

    @jax.jit  # type: ignore[untyped-decorator]
    def loss(W1: Array, b1: Array, W2: Array, b2: Array) -> Array:
        scores = jax.nn.relu(x.astype(W1.dtype) @ W1 + b1) @ W2 + b2
        return -jax.nn.log_softmax(scores)[np.arange(len(t)), t].mean()

    def differences(number: int, *params: Array) -> Array:
        p = params[number]

        def at(k: Array, h: float) -> Array:
            moved = p.ravel().at[k].add(h).reshape(p.shape)
            return loss(*params[:number], moved, *params[number + 1:])

        return jax.lax.map(lambda k: (at(k, 1e-4) - at(k, -1e-4)) / 2e-4,
                           np.arange(p.size)).reshape(p.shape)

    compiled = jax.jit(differences, static_argnums=0)  # 2 s; a call for each element, 5

    def loop(network: TwoLayerNet) -> str:
        params = network.params
        return compare(network, {name: np.asarray(compiled(number, *params.values()))
                                 for number, name in enumerate(params)}, "JAX's loop")

    def row(network: TwoLayerNet, dtype: str) -> str:
        params = [p.astype(dtype) for p in network.params.values()]
        try:
            jax.test_util.check_grads(loss, params, order=1, modes=("rev",))
        except AssertionError:
            return "fails"
        return "passes"

    losses["JAX"] = float(loss(*network.params.values()))
    return {"JAX, a compiled loop": loop,
            "JAX check_grads": lambda network: row(network, "float64"),
            "JAX check_grads, float32": lambda network: row(network, "float32")}


def seconds(row: Row, network: TwoLayerNet) -> float:
    """Time a row: a slow one once, of a quick one the median."""
    times: list[float] = []
    while len(times) < 15 and sum(times) < 0.5:
        start = time.perf_counter()
        row(network)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def megabytes(row: Row, network: TwoLayerNet) -> float:
    """Measure what NumPy and Python allocate at most, beyond what there was."""
    tracemalloc.start()
    row(network)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def main() -> None:
    """Compare, measure, print."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    network, *others = (TwoLayerNet(784, 50, 10, seed=s, dtype="float64") for s in range(20))
    numpy_rows: dict[str, Row] = {
        "the book's loop": book,
        "xpnet full": lambda network: ours(network, mode="full", threads=options.threads),
        "xpnet structured": lambda network: ours(network, mode="structured"),
        "xpnet random": ours,
    }
    rows, losses = dict(numpy_rows), {"the book": BookNet(network.params).loss(x, t, delta=0)}
    for library, make in (("PyTorch", torch_rows), ("JAX", jax_rows)):
        try:
            rows |= make(losses, network)
        except ImportError:
            print(f"{library} is not installed: its rows are left out")
    for whose, loss in losses.items():
        if not abs(loss - network.loss(x, t)) <= 1e-12:
            raise SystemExit(f"{whose}: the loss is {loss}, and not {network.loss(x, t)}")
    compare(network, network.numerical_gradient(x, t), "xpnet's numerical gradients")
    firsts, verdicts = {}, {}
    for name, row in rows.items():
        start = time.perf_counter()
        verdicts[name] = row(network)
        firsts[name] = time.perf_counter() - start  # with what is compiled, imported, made once
    peaks = {name: megabytes(row, network) for name, row in numpy_rows.items()}
    times = [{name: seconds(row, network) for name, row in rows.items()}
             for _ in range(options.rounds)]
    medians = {name: statistics.median(one[name] for one in times) for name in rows}
    loop = medians["the book's loop"]
    slowest = {"xpnet full": loop / (1.5 if options.threads == 1 else 3),
               "xpnet structured": loop / 200, "xpnet random": 0.010}
    print(f"threads: {options.threads}, rounds: {options.rounds}{load}\n"
          f"{'':30}{'seconds':>9}{'book / it':>11}{'first':>9}{'MB':>6}  {'verdict':9}bar")
    for name, median in medians.items():
        peak = f"{peaks[name]:.1f}" if name in peaks else "-"
        bar = ""
        if name in slowest:
            met = median <= slowest[name] and peaks[name] <= 20
            bar = f"{slowest[name]:.3f} s, 20 MB: {'met' if met else 'MISSED'}"
        print(f"{name:30}{median:9.4f}{loop / median:11.1f}{firsts[name]:9.3f}{peak:>6}"
              f"  {verdicts[name]:9}{bar}".rstrip())
    print("\nWhat the quick ones say of 20 correct networks:")
    for name in [name for name in rows if medians[name] < 1]:
        said = collections.Counter([verdicts[name], *map(rows[name], others)])
        print(f"{name:30}", ", ".join(f"{verdict} {n}" for verdict, n in said.most_common()))


if __name__ == "__main__":
    main()
