#!/usr/bin/env python3
"""Time a training step of the book's SimpleConvNet and DeepConvNet: xpnet on NumPy, PyTorch's autograd.

Forward, backward and SGD's update of all parameters, 100 images of 1x28x28, float32. Before anything is
timed, both must compute the same. Rounds alternate, so that whatever else the machine does falls on both; of two steps in a row, as in training,
the second is timed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
for option, default, meaning in (("--threads", 2, "of each library"), ("--rounds", 30, "of all rows")):
    parser.add_argument(option, type=int, default=default, choices=range(1, 1000), metavar="N",
                        help=f"{meaning} (default: {default})")
parser.add_argument("--memory-of", nargs=2, help=argparse.SUPPRESS)
options = parser.parse_args()
# Before the imports, which is when the libraries look. NumPy's threads are those of xpnet's kernels.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["OMP_NUM_THREADS"] = str(options.threads)

import numpy as np

from xpnet.backend import get_backend
from xpnet.layers import Affine, Convolution, Layer, MaxPooling, Relu
from xpnet.networks import Network
from xpnet.optimizers import SGD
from xpnet.training.batches import first_counter
from xpnet.training.step import first_carry, training_step, with_kernels

Array = Any
Step = Callable[[], float]  # trains once, and gives the loss before
BAR = 1.5
MEMORY_BAR = 2.0
LR = 0.01

CONV_PARAMS = {  # filters, their size, padding; then the neurons of the hidden layer
    "SimpleConvNet": ([(30, 5, 0)], 1, 100),
    "DeepConvNet": ([(16, 3, 1), (16, 3, 1), (32, 3, 1), (32, 3, 2), (64, 3, 1), (64, 3, 1)], 2, 50),
}
"""And after how many convolutions a pooling comes. DeepConvNet is timed without its dropout."""

rng = np.random.default_rng(0)
images = rng.random((100, 1, 28, 28), dtype=np.float32)
labels = rng.integers(0, 10, 100)


def parameters(name: str) -> list[Array]:
    """Draw W and b of each layer, with He's standard deviation."""
    convolutions, every, hidden = CONV_PARAMS[name]
    draw, channels, side = np.random.default_rng(1), 1, 28
    params = []

    def add(shape: tuple[int, ...], inputs: int, outputs: int) -> None:
        W = draw.standard_normal(shape, dtype=np.float32) * np.float32((2 / inputs) ** 0.5)
        params.extend([W, np.zeros(outputs, np.float32)])

    for k, (filters, size, pad) in enumerate(convolutions, start=1):
        add((filters, channels, size, size), channels * size * size, filters)
        channels, side = filters, side + 2 * pad - size + 1
        side //= 2 if k % every == 0 else 1
    features = channels * side * side
    add((features, hidden), features, hidden)
    add((hidden, 10), hidden, 10)
    return params


def xpnet_step(name: str) -> Step:
    """Make a step of xpnet's layers on NumPy, with its kernels."""
    convolutions, every, _ = CONV_PARAMS[name]
    given = iter(parameters(name))
    layers: list[Layer] = []
    for k, (_, _, pad) in enumerate(convolutions, start=1):
        layers += [Convolution(next(given), next(given), pad=pad), Relu()]
        layers += [MaxPooling(2, 2)] if k % every == 0 else []
    layers += [Affine(next(given), next(given)), Relu(), Affine(next(given), next(given))]
    network, optimizer, backend = Network(layers), SGD(LR), get_backend("numpy")
    fast = network.with_kernels(backend.kernels)
    compiled = backend.compile(training_step(fast, with_kernels(optimizer, backend), False),
                               donate=True, record=True)
    carry = first_carry(network, optimizer, first_counter(0))
    batch = {"x": images, "t": labels}

    def step() -> float:
        nonlocal carry
        carry, loss = compiled(carry, batch, None)
        return float(loss)

    return step


def torch_step(name: str) -> Step:
    """Make a step of the same network in PyTorch, by its autograd."""
    import torch
    torch.set_num_threads(options.threads)
    nn = torch.nn
    convolutions, every, hidden = CONV_PARAMS[name]
    given = [torch.from_numpy(p) for p in parameters(name)]
    layers, channels = [], 1
    for k, (filters, size, pad) in enumerate(convolutions, start=1):
        layers += [nn.Conv2d(channels, filters, size, padding=pad), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if k % every == 0 else []
        channels = filters
    features = given[-4].shape[0]
    layers += [nn.Flatten(), nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, 10)]
    model = nn.Sequential(*layers)
    with torch.no_grad():
        for own, p in zip(model.parameters(), given, strict=True):
            own.copy_(p.T if p.ndim == 2 else p)
    optimizer = torch.optim.SGD(model.parameters(), LR)
    x, t = torch.from_numpy(images), torch.from_numpy(labels)

    def step() -> float:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), t)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


STEPS = {"xpnet": xpnet_step, "PyTorch": torch_step}


def print_memory(whose: str, name: str) -> None:
    """Print by how many MB three steps raise the most that this process ever held."""
    import resource
    if whose == "PyTorch":
        import torch
        torch.ones(1).sum()
    unit = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, KiB elsewhere
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step = STEPS[whose](name)
    for _ in range(3):
        step()
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / unit)


def megabytes(whose: str, name: str) -> float:
    """Measure a fresh process."""
    done = subprocess.run([sys.executable, __file__, "--memory-of", whose, name, "--threads",
                           str(options.threads)], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Compare, measure, print."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"threads: {options.threads}, rounds: {options.rounds}{load}\n"
          f"{'':15}{'xpnet':>9}{'PyTorch':>9}{'ratio':>7}{'xpnet':>9}{'PyTorch':>9}{'ratio':>7}  bar")
    # First, while this process is small: on Linux a process inherits what its parent held at most.
    memory = {name: [megabytes(whose, name) for whose in STEPS] for name in CONV_PARAMS}
    for name in CONV_PARAMS:
        steps = {whose: make(name) for whose, make in STEPS.items()}
        losses = {whose: [step() for _ in range(3)] for whose, step in steps.items()}
        for mine, theirs in zip(*losses.values(), strict=True):
            if not abs(mine - theirs) <= 1e-4 * abs(theirs):
                raise SystemExit(f"{name}: the losses are {losses}")
        times: dict[str, list[float]] = {whose: [] for whose in steps}
        for _ in range(options.rounds):
            for whose, step in steps.items():
                step()  # after the other library, whose threads may still be waiting for more to do
                start = time.perf_counter()
                step()
                times[whose].append(time.perf_counter() - start)
        mine, theirs = (1e3 * statistics.median(times[whose]) for whose in steps)
        ratio = statistics.median(a / b for a, b in zip(*times.values(), strict=True))
        own, other = memory[name]
        met = ratio <= BAR and own <= MEMORY_BAR * other
        print(f"{name:15}{mine:6.1f} ms{theirs:6.1f} ms{ratio:7.2f}{own:6.0f} MB{other:6.0f} MB"
              f"{own / other:7.2f}  {BAR}, {MEMORY_BAR}: {'met' if met else 'MISSED'}")


if __name__ == "__main__":
    if options.memory_of:
        print_memory(*options.memory_of)
    else:
        main()
