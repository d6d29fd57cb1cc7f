"""Training steps of a network, beside PyTorch and JAX: what `small`, `large` and `large_tf32` share."""

from __future__ import annotations

import importlib
import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from benchmarks.cuda_sections.clocks import Clock, cupy_events, in_rounds, torch_events, wall_clock
from benchmarks.cuda_sections.found import MAKING, Found
from benchmarks.peers.cuda_peers import OURS, PRODUCTS
from benchmarks.peers.peer import Peer
from benchmarks.peers.xpnet_peers import Xpnet
from benchmarks.report import Times, quartiles, ratios, unit_of
from benchmarks.work import Work

__all__ = ["Contenders", "compare", "hold", "product_errors"]


class Contenders:
    """Who takes part, and who is left out for what reason.

    All are held to the losses of xpnet on NumPy before anything is timed. Whoever is off, or cannot be made,
    is left out, and the others go on; but for xpnet, of which it would be a fault.

    Parameters
    ----------
    work : Work
        What to train.
    found : Found
        Where to say who is left out.
    steps : int
        How many losses to compare.
    tolerance : float
        The relative difference that they may have.
    patience : float
        Seconds in which each has to be made, and compiled, and to have trained these steps.
    without : tuple of str
        Whom not to make.
    """

    def __init__(self, work: Work, found: Found, steps: int, tolerance: float, patience: float,
                 without: tuple[str, ...] = ()) -> None:
        self.peers: dict[str, Peer] = {}
        self.clocks: dict[str, Clock] = {}
        self.missing: dict[str, str] = {}
        self.off: dict[str, float] = {}
        self._found, self._tolerance, self._patience = found, tolerance, patience
        self._batches = work.batches(0, steps)
        found.stage("xpnet on NumPy")
        self._reference = Xpnet(work, "numpy").losses(self._batches)
        for library, gather in (("CuPy", _cupy), ("PyTorch", _torch), ("JAX", _jax)):
            try:
                clock, makers = gather(work, found.dry)
            except Exception as error:  # a library that is broken is not about the others
                if library == "CuPy":
                    raise
                self._leave_out(library, f"{type(error).__name__}: {error}".partition("\n")[0][:200])
                continue
            for name, make in makers.items():
                if name not in without:
                    self._add(name, make, clock)

    def _add(self, name: str, make: Callable[[], Peer], clock: Clock) -> None:
        if name == self._found.without:
            self._leave_out(name, "it ended the process")
            return
        self._found.stage(f"{MAKING}{name}")
        if self._found.dry and "CUDAGraph" in name:
            self._leave_out(name, "not run in a dry run")
            return
        try:
            with _limit(self._patience):
                peer = make()
                losses = peer.losses(self._batches) if peer.computes else self._reference
                clock(lambda: None)
        except Exception as error:  # whatever it is, it is not about the others
            if name.startswith(OURS):
                raise
            self._leave_out(name, f"{type(error).__name__}: {error}".partition("\n")[0][:200])
            return
        off = max(abs(a - b) / abs(b) for a, b in zip(losses, self._reference, strict=True))
        self.off[name] = off = math.inf if math.isnan(off) else off
        if off > self._tolerance and not name.startswith(OURS):
            self._leave_out(name, f"its losses are {off:.1e} off")
            return
        self.peers[name], self.clocks[name] = peer, clock

    def _leave_out(self, name: str, why: str) -> None:
        self.missing[name] = why
        self._found.note(f"Left out: {name}: {why}.")

    def reason(self, name: str) -> str:
        """Say why one is not there."""
        return next((f"{name}: {why}" for who, why in self.missing.items() if name.startswith(who)),
                    f"{name} was not run")


def compare(found: Found, work: Work, *, agree: tuple[int, float], block: int, rounds: int, budget: float,
            patience: float, judge: Callable[[Times, Contenders], None], without: tuple[str, ...] = ()) -> None:
    """See that all compute the same, time all, keep a table.

    Parameters
    ----------
    found : Found
        Where to keep it.
    work : Work
        What to train.
    agree : (int, float)
        Steps whose losses are compared, and the relative difference that they may have.
    block : int
        Steps that are timed at once.
    rounds : int
        How often.
    budget : float
        Seconds for all rounds.
    patience : float
        Seconds for one contender to be ready.
    judge : callable
        Holds the times against the bars: after each round from the third on, so that a limit leaves them.
    without : tuple of str
        Whom not to ask.
    """
    steps, tolerance = agree
    contenders = Contenders(work, found, steps, tolerance, patience, without)
    found.figure("losses off", contenders.off)
    worst = max(contenders.off.values())
    found.bar("same", worst <= tolerance, f"{worst:.1e} off NumPy's at most, in {steps} steps")

    def task(peer: Peer) -> Callable[[int], Callable[[], object]]:
        def prepare(k: int) -> Callable[[], object]:
            batches = work.batches(k * block, block)
            placed = peer.place(batches)
            peer.train(peer.place(batches[:max(1, block // 10)]))
            return lambda: peer.train(placed)
        return prepare

    tasks = {name: task(peer) for name, peer in contenders.peers.items()}
    found.stage("the steps before those that are timed")
    for prepare in tasks.values():
        prepare(0)()

    def keep(times: Times) -> None:
        found.figure("seconds of a step", {
            name: [seconds / block for seconds in each] for name, each in times.items()}, times=True)
        if found.dry or len(times[OURS]) >= 3:
            judge(times, contenders)
        found.stage(f"round {len(times[OURS]) + 1}")

    times = in_rounds(tasks, contenders.clocks, rounds, budget, keep)
    wall = [name for name in times if contenders.clocks[name] is wall_clock]
    found.table(["", "a step", "quartiles", "times the products", "times PyTorch"],
                list(_rows({name: [s / block for s in each] for name, each in times.items()})), times=True)
    found.note(f"Medians of {len(times[OURS])} rounds, of {block} steps each, by events on the device"
               + (f"; by the clock on the host: {', '.join(wall)}." if wall else "."))


def hold(found: Found, bar: str, times: Times, contenders: Contenders, other: str, most: float) -> None:
    """Hold the median of the ratios of xpnet's time to another's, in the same rounds, against a bar."""
    if other not in times:
        found.bar(bar, None, contenders.reason(other))
        return
    low, ratio, high = ratios({OURS: times[OURS], other: times[other]}, other)[OURS]
    found.figure(f"ratio to {other}", [low, ratio, high], times=True)
    found.bar(bar, ratio <= most, f"{ratio:.3f} times its time ({low:.3f} to {high:.3f})")


def product_errors(found: Found, backend: Any) -> None:
    """Keep how far a product of matrices is off: of CuPy's, xpnet's and PyTorch's, as they are set."""
    rng = np.random.default_rng(0)
    n = 64 if found.dry else 2048
    a, b = (rng.standard_normal((n, n), np.float32) for _ in range(2))
    right = a.astype("f8") @ b.astype("f8")
    scale = np.linalg.norm(right)
    xp = backend.namespace
    x, W = backend.asarray(a), backend.asarray(b)
    errors = {"CuPy": backend.to_numpy(xp.matmul(x, W))}
    if "affine" in backend.kernels:
        errors["xpnet's affine"] = backend.to_numpy(backend.kernels["affine"](x, W, W[0, ...])) - b[0]
    try:
        torch, peers = (importlib.import_module(f) for f in ("torch", "benchmarks.peers.cuda_torch_peers"))
        device = peers.device(found.dry)
        errors["PyTorch"] = (torch.from_numpy(a).to(device) @ torch.from_numpy(b).to(device)).cpu().numpy()
    except Exception as error:  # noqa: BLE001  PyTorch is not there, or broken
        found.note(f"PyTorch's product was not computed: {type(error).__name__}.")
    found.figure("error of a product", {
        name: float(np.linalg.norm(product - right) / scale) for name, product in errors.items()})
    said = ", ".join(f"{name} {error:.1e}" for name, error in found.figures["error of a product"].items())
    found.note(f"A product of {n} by {n} random numbers, relative to float64 (Frobenius norms): {said}.")


def _rows(times: Times) -> Iterator[list[str]]:
    for name, each in times.items():
        low, median, high = map(unit_of, quartiles(each))
        row = [name, median, f"{low} to {high}"]
        for other in (PRODUCTS, "PyTorch"):
            row.append(f"{ratios(times, other)[name][1]:.2f}" if other in times else "")
        yield row


Makers = dict[str, Callable[[], Peer]]


def _cupy(work: Work, dry: bool) -> tuple[Clock, Makers]:
    from benchmarks.peers import cuda_peers
    return cupy_events, cuda_peers.training(work)


def _torch(work: Work, dry: bool) -> tuple[Clock, Makers]:
    from benchmarks.peers import cuda_torch_peers as peers
    return wall_clock if dry else torch_events, peers.training(work, peers.device(dry))


def _jax(work: Work, dry: bool) -> tuple[Clock, Makers]:
    from benchmarks.peers import cuda_jax_peers as peers
    peers.check(dry)
    return wall_clock, peers.training(work)


@contextmanager
def _limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError where Python code is run so many seconds from now."""
    def ring(number: int, frame: Any) -> None:
        raise TimeoutError(f"not ready after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
