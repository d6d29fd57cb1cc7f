"""With how many threads BLAS computes."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits
from variants import make, params

from xpnet import SGD, MultiLayerNet, SimpleConvNet, fit
from xpnet.training.step import operations

NUMPY = make("numpy").backend


def threads() -> int:
    found = [library["num_threads"] for library in threadpool_info()
             if library["user_api"] == "blas" and "numpy" in library["filepath"]]
    assert found
    return max(found)


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let BLAS have two threads, of which the environment says nothing."""
    for name in ("OPENBLAS", "MKL", "BLIS", "OMP"):
        monkeypatch.delenv(f"{name}_NUM_THREADS", raising=False)
    with threadpool_limits(2, "blas"):
        assert threads() == 2
        yield


@pytest.mark.usefixtures("two")
def test_small_steps_have_one_thread() -> None:
    for work, count in ((1e6, 1), (1e10, 2), (float("inf"), 2)):
        with NUMPY.threads_for(work):
            assert threads() == count
        assert threads() == 2


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("name", ["OPENBLAS", "MKL", "BLIS", "OMP"])
def test_what_the_environment_says_counts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{name}_NUM_THREADS", "2")
    with NUMPY.threads_for(1.0):
        assert threads() == 2


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(("batch_size", "count"), [(10, 1), (5000, 2)])
def test_fit_chooses_by_the_work_of_a_step(batch_size: int, count: int) -> None:
    x, t = np.ones((5000, 100), np.float32), np.zeros(5000, np.int64)
    seen: list[int] = []
    net = MultiLayerNet(100, [60], 10, seed=0, dtype="float32")
    fit(net, x, t, optimizer=SGD(), epochs=1, batch_size=batch_size, progress=False,
        callbacks=[lambda *_: seen.append(threads())])
    assert seen == [count]
    assert threads() == 2


def test_the_work_of_a_step() -> None:
    net = MultiLayerNet(100, [60], 10, seed=0)
    assert operations(net, 10) == 60 * (100 * 60 + 60 + 60 * 10 + 10)
    stack = MultiLayerNet(100, [60], 10, seed=[0, 1])
    assert operations(stack, 10) == 2 * operations(net, 10)
    assert operations(SimpleConvNet((1, 28, 28), seed=0), 1) == float("inf")


@pytest.mark.parametrize("library", params("torch"))
def test_pytorch_has_one_thread_for_small_steps(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = importlib.import_module("torch")
    for name in ("OMP", "MKL"):
        monkeypatch.delenv(f"{name}_NUM_THREADS", raising=False)
    before, backend = torch.get_num_threads(), make(library).backend
    torch.set_num_threads(2)
    try:
        with backend.threads_for(1e10):
            assert torch.get_num_threads() == 2
        first, second = backend.threads_for(1.0), backend.threads_for(1.0)
        with first:
            with second:
                assert torch.get_num_threads() == 1
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
        with backend.threads_for(1.0):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("library", params("torch", "strict"))
def test_other_libraries_keep_theirs(library: str) -> None:
    before = threads()
    with make(library).backend.threads_for(1.0):
        assert threads() == before
