"""What ranks do on GPUs, each on its own: a program of test_backend_cupy_sums.py, which `mpiexec` starts."""

from __future__ import annotations

import itertools
import os
import sys
from typing import Any

import numpy as np
from mpi4py import MPI

from xpnet import SGD, Adam, Momentum, MultiLayerNet, SoftmaxWithLoss, fit, get_backend
from xpnet.distributed import RankError, Ranks

WORLD = MPI.COMM_WORLD
CAPTURED: list[int] = []
"""How often NCCL is in each of the graphs that were seen."""


def say(line: str) -> None:
    """Say a line at one go: several ranks write to one place."""
    os.write(1, f"{line}\n".encode())


def trained(case: str, comm: Any, callbacks: Any = (), epochs: int = 4) -> dict[str, Any]:
    """Give what a network learns."""
    backend, rng = get_backend(f"cuda:{WORLD.rank}"), np.random.default_rng(0)
    x, t, w = (backend.asarray(a) for a in (rng.standard_normal((256, 9)), rng.integers(0, 4, 256), rng.random(256)))
    seeds = [0, 1] if "stack" in case else 0
    net = MultiLayerNet(9, [600, 600, 300] if "large" in case else [8, 7, 6], 4, use_batchnorm="norm" in case,
                        use_dropout="dropout" in case, seed=seeds, backend=backend, dtype="float64")
    if "classes" in case:  # in a list, they are brought from the host at each step
        weights = [1.0, 2.0, 0.5, 0.0]
        net.last_layer = SoftmaxWithLoss(class_weights=weights if "list" in case else backend.asarray(np.array(weights)))
    # Gradients of biases before a normalisation are rounding errors, which Adam makes large.
    optimizer: Any = Momentum(0.05, clip_norm=0.5) if "norm" in case else Adam(0.01, weight_decay=1e-3)
    fit(net, x, t, optimizer=optimizer, epochs=epochs, batch_size=64, seed=seeds, validation=0.1, progress=False,
        sample_weight=w if "weights" in case else None, comm=comm, callbacks=callbacks)
    return {name: backend.to_numpy(a) for name, a in {**net.params, **net.state}.items()}


def trains(*cases: str) -> None:
    """Train together, and see that it is what one alone learns, and by graphs if so."""
    from xpnet_backends.cupy_playing import PlayedFunction

    functions: list[PlayedFunction] = []
    init = PlayedFunction.__init__

    def noted(self: PlayedFunction, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        functions.append(self)

    PlayedFunction.__init__ = noted  # type: ignore[method-assign]
    for case in cases:
        functions.clear()
        CAPTURED.clear()

        def look(*_: object) -> None:
            CAPTURED[:] = [graph.debug_dot_str().lower().count("nccl") for f in functions for graph in f.graphs]

        together = trained(case, WORLD, [look])
        refused = [f.refused for f in functions if f.refused]
        if "list" in case:
            assert len(refused) == 1, refused
        else:
            assert not refused, refused
            assert len([n for n in CAPTURED if n]) == 2, CAPTURED
        assert not any(f.graphs for f in functions if f._carries)  # NCCL would wait for them
        if WORLD.rank == 0:
            alone = trained(case, None)
            largest = max(np.abs(a).max() for a in alone.values())
            worst = max(np.abs(a - together[name]).max() for name, a in alone.items()) / largest
            assert worst < 1e-12, (case, worst)
            say(f"{case} as alone, with {max(CAPTURED, default=0)} sums in a graph")


def adds() -> None:
    """Add up several vectors at once, of which the first are read last."""
    backend = get_backend(f"cuda:{WORLD.rank}")
    with Ranks(WORLD) as ranks:
        sums: Any = backend.sums(ranks)
        vectors = [backend.asarray(np.arange(n, dtype=dtype) * (ranks.rank + 1)) for n, dtype in itertools.product(
            (1, 7, 300_000), ("float32", "float64"))]
        started = [sums.start(a) for a in vectors]
        total = sum(range(ranks.size + 1))
        for a, one in [*zip(vectors, started, strict=True)][::-1]:
            found = sums.finish(one)
            assert found.dtype == a.dtype
            np.testing.assert_array_equal(backend.to_numpy(found), np.arange(a.shape[0]) * total)
        for a in vectors:
            assert backend.to_numpy(a)[-1] == (a.shape[0] - 1) * (ranks.rank + 1)
        sums.wait()
        sums.close(whole=True)
    say(f"rank {ranks.rank} added")


def fails() -> None:
    """Let one rank fail where the others wait for it on their GPUs; in a later epoch, so by graphs."""
    import cupy

    if hasattr(cupy.cuda.nccl, "PATIENCE"):
        trained("warm", WORLD)  # kernels are compiled
        cupy.cuda.nccl.PATIENCE[0] = 1.0  # the stand-in's, which cannot go on meanwhile

    def fail(_: object, history: Any) -> None:
        if WORLD.rank == WORLD.size - 1 and history.epochs[-1].epoch == 2:
            raise OSError("the disk is full")

    try:
        trained("fails", WORLD, [fail])
    except RankError as error:
        say(f"rank {WORLD.rank} heard: {error}")
    except OSError as error:
        say(f"rank {WORLD.rank} failed: {error}")
    assert int(get_backend(f"cuda:{WORLD.rank}").asarray(np.ones(3)).sum()) == 3  # which does not wait any more
    trained("again", None, epochs=1)


def share() -> None:
    """Let all ranks take one GPU."""
    backend = get_backend("cuda:0")
    net = MultiLayerNet(2, [3], 2, seed=0, backend=backend)
    x, t = backend.asarray(np.ones((8, 2), "float32")), backend.asarray(np.zeros(8, int))
    try:
        fit(net, x, t, optimizer=SGD(), epochs=1, batch_size=4, progress=False, comm=WORLD)
    except ValueError as error:
        say(f"rank {WORLD.rank}: {error}")


if __name__ == "__main__":
    {"trains": trains, "adds": adds, "fails": fails, "share": share}[sys.argv[1]](*sys.argv[2:])
