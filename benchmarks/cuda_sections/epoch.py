"""An epoch of Fashion-MNIST, or as many random images, which lie on the device."""

from __future__ import annotations

import time
from functools import partial
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.cuda_sections.copies import copies_in
from benchmarks.cuda_sections.found import Found
from xpnet import SGD, History, TwoLayerNet, fit, get_backend, load_mnist

__all__ = ["run"]

LR, BATCH = 0.1, 100


def run(found: Found) -> None:
    """Train some epochs as `fit` does, with uint8 and with float32 images, and count the copies of one."""
    backend, epochs = get_backend("cuda"), 2 if found.dry else 5
    pixels, t, what = images(found.dry)
    rows, copies = [], None
    for dtype in ("float32", "uint8"):
        found.stage(f"{dtype} images")
        x = pixels if dtype == "uint8" else np.divide(pixels, np.float32(255), dtype=np.float32)
        x, labels = backend.asarray(x), backend.asarray(t)
        network = TwoLayerNet(784, 50, 10, "he", seed=0, backend=backend)
        # uint8 pixels of 0 to 255 want a smaller step; it takes as long.
        optimizer = SGD(LR if dtype == "float32" else LR / 255**2)
        history, first = trained(network, x, labels, optimizer, epochs, backend)
        speeds = [epoch.samples_per_second for epoch in history.epochs]
        found.figure(f"samples per second, {dtype}", speeds, times=True)
        rows.append([dtype, f"{np.median(speeds[1:]):,.0f}", f"{speeds[0]:,.0f}",
                     f"{len(x) / np.median(speeds[1:]):.3f} s", f"{first / epochs:.3f} s",
                     f"{history.epochs[-1].loss:.3f}"])
        if dtype == "float32":
            found.stage("copies of an epoch")
            copies = copies_in(partial(trained, network, x, labels, optimizer, 1, backend), found.dry)
    found.table(["images", "samples/s", "of the first epoch", "an epoch", "all that fit does, by epoch", "loss"],
                rows, times=True)
    found.note(f"784-50-10, batch {BATCH}, SGD; {what}.")
    assert copies is not None
    found.figure("copies", copies._asdict())
    steps = len(t) // BATCH
    size = "" if copies.bytes_to_host is None else f", {copies.bytes_to_host:,} bytes in all"
    back = "" if copies.to_device is None else f"; {copies.to_device} from the host"
    # A loss of each step, 4 or 8 bytes wide; the rest is whether all is finite, and what a call begins with.
    small = copies.bytes_to_host is None or copies.bytes_to_host <= 8 * steps + 1024
    few = copies.to_host <= 0.1 * steps + 10
    seen = found.dry or copies.bytes_to_host is not None  # calls of `asnumpy` alone prove nothing
    found.bar("host", (small and few) if seen or not (small and few) else None,
              f"{copies.to_host} copies to the host{size} in a call of fit with an epoch of {steps} steps{back}; "
              f"counted by {copies.counted_by}")


def images(dry: bool) -> tuple[Any, Any, str]:
    """Find Fashion-MNIST on this machine; else draw as much. Nothing is downloaded."""
    if not dry:
        try:
            with mock.patch("xpnet.datasets.files._download", side_effect=FileNotFoundError):
                x, t = load_mnist(normalize=False, dataset="fashion-mnist")[0]
                return x, t, "Fashion-MNIST"
        except (FileNotFoundError, ValueError):
            pass
    rows, rng = 2_000 if dry else 60_000, np.random.default_rng(0)
    return (rng.integers(0, 256, (rows, 784), np.uint8), rng.integers(0, 10, rows),
            f"{rows:,} random images, as Fashion-MNIST is not on this machine" if not dry else "random images")


def trained(network: Any, x: Any, t: Any, optimizer: Any, epochs: int, backend: Any) -> tuple[History, float]:
    """Train; give the history, and the seconds of all."""
    start = time.perf_counter()
    history = fit(network, x, t, optimizer=optimizer, epochs=epochs, batch_size=BATCH, progress=False)
    backend.synchronize()
    return history, time.perf_counter() - start
