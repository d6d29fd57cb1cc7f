"""A training step of the book's SimpleConvNet, beside PyTorch with cuDNN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.cuda_sections.clocks import Clock, cupy_events, in_rounds, torch_events, wall_clock
from benchmarks.cuda_sections.found import Found
from benchmarks.cuda_sections.large import set_precision
from benchmarks.peers.xpnet_peers import step_of_fit
from benchmarks.report import Times, quartiles, ratios, unit_of
from xpnet import SGD, SimpleConvNet, get_backend
from xpnet.training.batches import first_counter
from xpnet.training.step import first_carry, training_step

__all__ = ["run"]

OURS, PLAIN, THEIRS = "xpnet on CuPy", "xpnet on CuPy, plain layers", "PyTorch, cuDNN"
LAST, TF32 = f"{THEIRS}, channels last", f"{THEIRS}, with TF32 in convolutions, its default"
BAR, LR, TOLERANCE = 1.3, 0.01, 1e-3
Block = Callable[[int], list[Any]]
"""Takes so many steps, waits for the device, and gives the losses, which lie there."""


def run(found: Found) -> None:
    """See that all compute the same, and time all."""
    backend = set_precision(found, tf32=False)
    batch, block, rounds = (4, 2, 2) if found.dry else (256, 20, 21)
    rng = np.random.default_rng(0)
    x, t = rng.random((batch, 1, 28, 28), dtype=np.float32), rng.integers(0, 10, batch)
    host = SimpleConvNet(weight_init_std="he", seed=1, dtype="float32")
    makers: dict[str, Callable[[], Block]] = {
        OURS: lambda: xpnet_block(backend, x, t, plain=False),
        PLAIN: lambda: xpnet_block(backend, x, t, plain=True),
        THEIRS: lambda: torch_block(host, x, t, False, False, found.dry),
        LAST: lambda: torch_block(host, x, t, True, False, found.dry),
        TF32: lambda: torch_block(host, x, t, False, True, found.dry),
    }
    found.stage("the losses on NumPy")
    right = [float(loss) for loss in xpnet_block(get_backend("numpy"), x, t, plain=True)(3)]
    blocks: dict[str, Block] = {}
    clocks: dict[str, Clock] = {}
    off: dict[str, float] = {}
    missing = ""
    for name, make in makers.items():
        found.stage(f"the losses of {name}")
        try:
            blocks[name] = make()
            off[name] = max(abs(float(a) / b - 1) for a, b in zip(blocks[name](3), right, strict=True))
        except Exception as error:  # PyTorch is not there, or broken: the others go on
            if name.startswith(OURS):
                raise
            missing = f"{type(error).__name__}: {error}".partition("\n")[0][:200]
            found.note(f"Left out: {name}: {missing}.")
            blocks.pop(name, None)
            continue
        clocks[name] = cupy_events if name.startswith(OURS) else wall_clock if found.dry else torch_events
    found.figure("losses off", off)
    worst = max(v for name, v in off.items() if name != TF32)
    found.bar("same", worst <= TOLERANCE, f"{worst:.1e} off NumPy's at most, in 3 steps")

    def task(go: Block) -> Callable[[int], Callable[[], object]]:
        def prepare(k: int) -> Callable[[], object]:
            go(2)
            return lambda: go(block)
        return prepare

    times = in_rounds({name: task(go) for name, go in blocks.items()}, clocks, rounds, budget=8)
    found.figure("seconds of a step", {name: [s / block for s in each] for name, each in times.items()},
                 times=True)
    found.table(["", "a step", "quartiles", "times PyTorch"], _rows(times, block), times=True)
    found.note(f"Medians of {len(times[OURS])} rounds of {block} steps, by events on the device; the same {batch} "
               "images at each step; cuDNN chooses by trying (benchmark).")
    theirs = [name for name in (THEIRS, LAST) if name in times]
    if not theirs:
        found.bar("ratio", None, f"PyTorch: {missing}")
        return
    quickest = min(theirs, key=lambda name: quartiles(times[name])[1])
    low, ratio, high = ratios({OURS: times[OURS], quickest: times[quickest]}, quickest)[OURS]
    found.figure("ratio", [low, ratio, high], times=True)
    found.bar("ratio", ratio <= BAR, f"{ratio:.2f} times its time in float32 ({low:.2f} to {high:.2f})")


def xpnet_block(backend: Any, x: Any, t: Any, plain: bool) -> Block:
    """Make steps of xpnet."""
    network = SimpleConvNet(weight_init_std="he", seed=1, dtype="float32", backend=backend)
    optimizer = SGD(LR)
    step = training_step(network, optimizer, False) if plain else step_of_fit(network, optimizer, backend)
    batch = {"x": backend.asarray(x), "t": backend.asarray(t)}
    carry = first_carry(network, optimizer, backend.asarray(first_counter(0)))

    def go(steps: int) -> list[Any]:
        nonlocal carry
        losses = []
        for _ in range(steps):
            carry, loss = step(carry, batch, None)
            losses.append(loss)
        backend.synchronize()
        return losses

    return go


def torch_block(host: SimpleConvNet, x: Any, t: Any, last: bool, tf32: bool, dry: bool) -> Block:
    """Make steps of the same network in PyTorch, by its autograd."""
    import torch

    from benchmarks.peers.cuda_torch_peers import device as device_of
    nn, device, p = torch.nn, device_of(dry), host.params
    model = nn.Sequential(nn.Conv2d(1, 30, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                          nn.Linear(*p["W2"].shape), nn.ReLU(), nn.Linear(*p["W3"].shape))
    with torch.no_grad():
        for own, values in zip(model.parameters(), p.values(), strict=True):
            own.copy_(torch.from_numpy(values.T if values.ndim == 2 else values))
    form = {"memory_format": torch.channels_last} if last else {}
    model = model.to(device, **form)
    optimizer = torch.optim.SGD(model.parameters(), LR)
    images, labels = torch.from_numpy(x).to(device, **form), torch.from_numpy(t).to(device)
    torch.backends.cudnn.benchmark = True

    def go(steps: int) -> list[Any]:
        torch.backends.cudnn.allow_tf32 = tf32
        losses = []
        for _ in range(steps):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        if device == "cuda":
            torch.cuda.synchronize()
        return losses

    return go


def _rows(times: Times, block: int) -> list[list[str]]:
    rows = []
    for name, each in times.items():
        low, median, high = map(unit_of, quartiles([s / block for s in each]))
        ratio = f"{ratios(times, THEIRS)[name][1]:.2f}" if THEIRS in times else ""
        rows.append([name, median, f"{low} to {high}", ratio])
    return rows
