"""Sums over GPUs, by NCCL; `-m cuda`, on GPUs or the CPU's stand-in, which adds up by MPI."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from on_ranks import mpiexec, needs_ranks
from shell import Shell
from variants import Variant, make, params

from xpnet.distributed import Ranks

PROGRAM = Path(__file__).with_name("ranks_on_gpus.py")
STAND_IN = "XPNET_CUDA_ON_CPU" in os.environ


@pytest.fixture(params=params("cupy"))
def xp(request: pytest.FixtureRequest) -> Variant:
    return make(request.param)


@pytest.fixture
def sums(xp: Variant) -> Any:
    """Give the sums of a process that is alone, by NCCL nevertheless."""
    import cupy

    if not cupy.cuda.nccl.available:
        pytest.skip("NCCL is not installed")
    return xp.backend.sums(Ranks())


def on_gpus(shell: Shell, ranks: int, *arguments: object, gpus: int | None = None) -> str:
    """Let ranks do something, each on a GPU of its own; give what they say."""
    import cupy

    seen = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(
        map(str, range(ranks if STAND_IN else cupy.cuda.runtime.getDeviceCount())))
    if seen.count(",") + 1 < (ranks if gpus is None else gpus):
        pytest.skip(f"NCCL wants a GPU for each of {ranks} ranks; there are {seen.count(',') + 1}")
    done = mpiexec(ranks, PROGRAM, *arguments, folder=shell.folder, gpus=seen, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_ranks
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_vectors_are_added_up(xp: Variant, shell: Shell, ranks: int) -> None:
    said = on_gpus(shell, ranks, "adds")
    assert sorted(said.splitlines()) == [f"rank {k} added" for k in range(ranks)]


@needs_ranks
@pytest.mark.parametrize(("ranks", "cases"), [
    (2, ["plain", "norm", "dropout", "weights", "classes", "stack"]),
    (3, ["norm, dropout and weights", "norm, dropout and a stack", "classes in a list", "large"]),
])
def test_ranks_learn_what_one_learns_by_graphs(xp: Variant, shell: Shell, ranks: int, cases: list[str]) -> None:
    lines = on_gpus(shell, ranks, "trains", *cases).splitlines()
    sums = {line.split(" as alone, with ")[0]: int(line.split()[-5]) for line in lines}
    assert list(sums) == cases
    wanted = {"plain": 1, "norm": 1 + 9, "classes in a list": 0}  # two forward and one back for each of three
    for case, n in wanted.items():
        assert sums.get(case, n) == n
    if "large" in sums:
        assert sums["large"] > 1  # begun while the chain of layers goes backward


@needs_ranks
def test_a_rank_that_fails_ends_the_others(xp: Variant, shell: Shell) -> None:
    said = sorted(on_gpus(shell, 2, "fails").splitlines())
    assert said == ["rank 0 heard: rank 1: the disk is full", "rank 1 failed: the disk is full"]


@needs_ranks
def test_two_ranks_on_one_gpu(xp: Variant, shell: Shell) -> None:
    said = sorted(on_gpus(shell, 2, "share", gpus=1).splitlines())
    assert len(said) == 2
    for rank, line in enumerate(said):
        assert re.fullmatch(rf"rank {rank}: NCCL wants a GPU for each rank; ranks 0 and 1 have the same, "
                            r"[0-9a-fA-F:.]+ of .*: start as many ranks as there are GPUs, .*", line), line


def test_a_captured_sum_is_one_of_what_is_there_then(xp: Variant, sums: Any) -> None:
    def step(x: Any) -> Any:
        started = sums.start(2 * x)
        other = x + 1  # meanwhile
        return sums.finish(started) + other

    compiled: Any = xp.backend.compile(step, record=True)
    for k in range(5):
        x = xp.asarray(np.arange(4.0) + k)
        xp.check(compiled(x), 3 * (np.arange(4.0) + k) + 1, rtol=1e-15)
    assert compiled.refused == ""
    assert len(compiled.graphs) == 1
    assert "nccl" in compiled.graphs[0].debug_dot_str().lower()
    sums.close(whole=True)
    assert compiled.graphs == []  # for which NCCL would wait
    sums.close(whole=True)  # of what is closed, nothing is left to close


def test_what_is_no_vector_of_floats(xp: Variant, sums: Any) -> None:
    for dtype in ("int32", "float16"):
        with pytest.raises(TypeError, match=f"want float32 or float64; got {dtype}"):
            sums.start(xp.asarray(np.ones(3, dtype)))
    every_other = xp.asarray(np.arange(8.0))[::2]
    xp.check(sums.finish(sums.start(every_other)), np.arange(8.0)[::2])
    xp.check(sums.finish(sums.start(every_other[:0])), np.zeros(0))
    sums.close(whole=False)


def test_a_capture_that_fails_elsewhere_is_given_up_here(
    xp: Variant, sums: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(x: Any) -> Any:
        return sums.finish(sums.start(2 * x))

    monkeypatch.setattr(sums, "agree", lambda well: False)
    compiled: Any = xp.backend.compile(step, record=True)
    for k in range(4):
        xp.check(compiled(xp.asarray([1.0 + k])), np.array([2.0 + 2 * k]))
    assert compiled.refused == "another process cannot capture it"
    assert compiled.graphs == []
    sums.close(whole=True)


def test_a_call_that_fails_here_alone_is_not_tried_again(xp: Variant, sums: Any) -> None:
    """The others have added up by then, or wait for this one to do so."""
    calls = []

    def step(x: Any) -> Any:
        calls.append(x)
        if len(calls) == 2:
            raise MemoryError("for a graph, which has memory of its own")
        return sums.finish(sums.start(x))

    compiled = xp.backend.compile(step, record=True)
    compiled(xp.asarray([1.0]))
    with pytest.raises(MemoryError, match="of its own"):
        compiled(xp.asarray([1.0]))
    assert len(calls) == 2
    sums.close(whole=False)


def test_a_failure_of_nccl_is_heard_of(xp: Variant, sums: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which the GPU would wait for for ever."""
    import cupy

    class Communicator:
        aborted = False

        def check_async_error(self) -> None:
            raise OSError("the network is gone")

        def abort(self) -> None:
            self.aborted = True

    communicator, whole = Communicator(), sums._communicator
    monkeypatch.setattr(sums, "_communicator", communicator)
    monkeypatch.setattr(cupy.cuda.runtime, "eventQuery", lambda event: 600)
    with pytest.raises(OSError, match="the network is gone"):
        sums.wait()
    assert communicator.aborted
    whole.destroy()


def test_without_nccl(xp: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    import cupy

    monkeypatch.setattr(cupy.cuda.nccl, "available", False)
    with pytest.raises(ValueError, match=r"CuPy finds no NCCL, .*: pip install nvidia-nccl-cu1\d$"):
        xp.backend.sums(Ranks())
