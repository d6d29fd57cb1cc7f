"""No copy to the host in a step of training: what a CUDA graph holds has none.

A stream that is captured refuses whatever waits for the host, so that a step that is played copies nothing.
What the graphs hold is counted all the same.
"""

from __future__ import annotations

import collections
import re
from typing import Any

import numpy as np

from benchmarks.cuda_sections.found import Found
from benchmarks.peers.xpnet_peers import step_of_fit
from xpnet import SGD, Adam, MultiLayerNet, SimpleConvNet, TwoLayerNet, get_backend
from xpnet.backend import Backend
from xpnet.networks import Network
from xpnet.training.batches import first_counter
from xpnet.training.data import Data
from xpnet.training.step import Optimizer, first_carry

__all__ = ["node_kinds", "run"]

VERBOSE = 1
"""cudaGraphDebugDotFlagsVerbose: kinds of nodes, and from where to where they copy."""
KINDS = ("KERNEL", "MEMCPY", "MEMSET", "HOST", "GRAPH", "EMPTY", "WAIT_EVENT", "EVENT_RECORD", "MEM_ALLOC",
         "MEM_FREE", "CONDITIONAL")
ON_THE_DEVICE = {"KERNEL", "MEMCPY DtoD", "MEMSET", "GRAPH", "EMPTY", "WAIT_EVENT", "EVENT_RECORD"}


def run(found: Found) -> None:
    """Train each network a little as `fit` does, and look at what is played."""
    backend, rng = get_backend("cuda"), np.random.default_rng(0)
    refused, rows = {}, []
    wrong: list[str] = []
    unread: list[str] = []
    where: dict[str, Any] = {"seed": 0, "backend": backend, "dtype": "float32"}
    networks: dict[str, tuple[Network, Optimizer, tuple[int, ...]]] = {
        "784-50-10, SGD": (TwoLayerNet(784, 50, 10, **where), SGD(0.1), (784,)),
        "784-50-10, Adam": (TwoLayerNet(784, 50, 10, **where), Adam(), (784,)),
        "three hidden layers, dropout, SGD": (
            MultiLayerNet(784, [20] * 3, 10, use_dropout=True, **where), SGD(0.1), (784,)),
        "SimpleConvNet, Adam": (SimpleConvNet(**where), Adam(), (1, 28, 28)),
    }
    for name, (network, optimizer, shape) in networks.items():
        found.stage(name)
        x, t = rng.random((300, *shape), np.float32), rng.integers(0, 10, 300)
        step = trained(backend, network, optimizer, x, t)
        refused[name] = getattr(step, "refused", "it is not recorded")
        graphs = getattr(step, "graphs", [])
        nodes: collections.Counter[str] = collections.Counter()
        for graph in graphs:
            nodes += node_kinds(graph.debug_dot_str(VERBOSE))
        found.figures.setdefault("nodes", {})[name] = dict(nodes)
        if graphs and "example" not in found.figures:  # should the format be another than is read here
            found.figure("example", graphs[0].debug_dot_str(VERBOSE)[:3000])
        for kind, n in nodes.items():
            if kind not in ON_THE_DEVICE:
                (unread if "unknown" in kind else wrong).append(f"{name}: {n} {kind}")
        if not sum(nodes.values()):
            unread.append(f"{name}: no node was found")
        rows.append([name, refused[name] or "played", str(len(graphs)),
                     ", ".join(f"{n} {kind}" for kind, n in sorted(nodes.items()))])
    found.table(["", "the step of fit", "graphs", "their nodes"], rows)
    found.note("Of both graphs that are captured and played in training, together; a captured stream refuses copies to "
               "the host.")
    reasons = [f"{name}: {why}" for name, why in refused.items() if why]
    found.bar("played", not reasons, "; ".join(reasons) or f"{len(refused)} of {len(refused)}")
    found.bar("nodes", None if unread and not wrong else not wrong, "; ".join(wrong or unread) or "none")


def trained(backend: Backend, network: Network, optimizer: Optimizer, x: Any, t: Any) -> Any:
    """Take a few steps, and give what took them."""
    step = step_of_fit(network, optimizer, backend)
    data = Data(backend, {"x": backend.asarray(x), "t": backend.asarray(t)})
    carry = first_carry(network, optimizer, backend.asarray(first_counter(0)))
    for batch in data.batches(np.arange(300).reshape(6, 50), 0):
        carry, loss = step(carry, *batch)
    if not np.isfinite(backend.to_numpy(loss)):
        raise SystemExit(f"the loss is {loss}")
    return step


def node_kinds(dot: str) -> collections.Counter[str]:
    """Count the nodes of a graph, as cudaGraphDebugDotPrint describes it, by their kind.

    A node begins with its name at the begin of a line and its attributes behind it, of which the first word in
    capitals says what it is; a copy, from where to where: "MEMCPY DtoH".
    """
    counts: collections.Counter[str] = collections.Counter()
    for text in re.split(r'^\s*"[^"]+"\s*(?=\[)', dot, flags=re.MULTILINE)[1:]:
        attributes = text.partition("];")[0]
        kind = re.search(rf"(?<![A-Za-z_])({'|'.join(KINDS)})(?![A-Za-z_])", attributes)
        name = kind[1] if kind is not None else "unknown"
        if name == "MEMCPY":
            way = re.search(r"\b[HDA]to[HDA]\b", attributes)
            name = f"MEMCPY {way[0] if way is not None else 'unknown'}"
        counts[name] += 1
    return counts
