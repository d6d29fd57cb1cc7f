"""Who takes part: whoever is installed, and computes the same as the others."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterable
from typing import Any

from benchmarks.peers.peer import Peer
from benchmarks.work import Work

__all__ = ["agree", "all_of", "made"]

MODULES = {"floor": "NumPy", "xpnet_peers": "xpnet", "torch_peers": "PyTorch", "jax_peers": "JAX",
           "sklearn_peers": "scikit-learn", "thinc_peers": "Thinc", "dezero_peers": "DeZero",
           "onnx_peers": "onnxruntime"}
REFERENCE = "xpnet on NumPy"
TOLERANCE = 1e-4


def all_of(kind: str, *arguments: Any) -> tuple[dict[str, Any], list[str]]:
    """Gather what the modules in `peers` have of a kind, and name the libraries that are left out.

    Parameters
    ----------
    kind : str
        The function to call: "training" or "predictor".
    """
    found: dict[str, Any] = {}
    missing = []
    for name, library in MODULES.items():
        try:
            module = importlib.import_module(f"benchmarks.peers.{name}")
        except ImportError as error:
            missing.append(f"{library} ({error})")
            continue
        if hasattr(module, kind):
            found |= getattr(module, kind)(*arguments)
    return found, missing


def made(work: Work, threads: int, leave_out: Iterable[str] = (), only: Iterable[str] | None = None
         ) -> tuple[dict[str, Peer], list[str]]:
    """Make the contenders for a training, and name those left out.

    Parameters
    ----------
    leave_out : iterable of str
        Whom not to make.
    only : iterable of str, optional
        Whom to make; by default all.
    """
    found, missing = all_of("training", work, threads)
    wanted = set(found if only is None else only) - set(leave_out)
    peers: dict[str, Peer] = {name: make() for name, make in found.items() if name in wanted}
    return peers, missing


def agree(work: Work, peers: dict[str, Peer], steps: int) -> float:
    """See that all have the same losses in their first steps; give the largest relative difference.

    xpnet on NumPy is what the others are held to.
    """
    batches = work.batches(0, steps)
    losses = {}
    for name, peer in peers.items():
        if peer.computes:
            losses[name] = peer.losses(batches)
    reference = losses[REFERENCE]
    untrained = made(work, 1, only=[REFERENCE])[0][REFERENCE].losses(batches[-1:])
    if not abs(reference[-1] - untrained[0]) > 10 * TOLERANCE * untrained[0]:
        raise SystemExit(f"{work.name}: too little is learnt for a comparison: {reference}, {untrained}")
    worst = 0.0
    for name, found in losses.items():
        off = max(abs(a - b) / abs(b) for a, b in zip(found, reference, strict=True))
        if math.isnan(off) or off > TOLERANCE:
            raise SystemExit(f"{work.name}: the losses of {name} are {off:.1e} off: {found}, not {reference}")
        worst = max(worst, off)
    return worst


