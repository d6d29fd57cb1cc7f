"""What the CuPy backend says and does, on as much of a CuPy as is there before a GPU is found."""

from __future__ import annotations

import re
import shutil
import sys
from types import ModuleType

import numpy as np
import pytest
from shell import ROOT, Shell
from variants import installed

from xpnet import BackendError, available_backends, backend_of, get_backend

BACKENDS = ROOT / "backends" / "xpnet_backends"


class Device:
    """CuPy's, which can be compared but not hashed."""

    current = 0
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, number: int) -> None:
        self.id = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def use(self) -> None:
        Device.current = self.id


class CupyArray:
    def __init__(self, device: Device) -> None:
        self.device = device

    def __array_namespace__(self, *, api_version: str | None = None) -> ModuleType:
        return sys.modules["array_api_compat.cupy"]


def fake_cupy(monkeypatch: pytest.MonkeyPatch, gpus: int) -> None:
    """Put a CuPy in place that finds so many GPUs: the real one imports without any, too."""
    cupy = ModuleType("cupy")
    cuda = ModuleType("cupy.cuda")
    vars(cuda).update(Device=Device, runtime=ModuleType("cupy.cuda.runtime"))
    vars(cuda.runtime).update(getDeviceCount=lambda: gpus)
    vars(cupy).update(is_available=lambda: gpus > 0, __version__="14.2.0", cuda=cuda, ndarray=CupyArray,
                      dtype=np.dtype, ElementwiseKernel=lambda *text: None)
    import array_api_compat

    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "array_api_compat.cupy", ModuleType("array_api_compat.cupy"))
    monkeypatch.setattr(array_api_compat, "cupy", sys.modules["array_api_compat.cupy"],
                        raising=False)
    for path in BACKENDS.glob("cupy_*.py"):  # to be imported anew, now and after this
        monkeypatch.setitem(sys.modules, f"xpnet_backends.{path.stem}", None)
        del sys.modules[f"xpnet_backends.{path.stem}"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())


def test_cuda_without_a_gpu(forget: pytest.MonkeyPatch) -> None:
    fake_cupy(forget, gpus=0)
    for name in ("cuda", "cupy", "cuda:1"):
        with pytest.raises(BackendError, match=r"CuPy 14.2.0 finds no CUDA GPU: .* driver"):
            get_backend(name)
    assert "cupy" not in available_backends()


def test_cuda_with_gpus(forget: pytest.MonkeyPatch) -> None:
    fake_cupy(forget, gpus=2)
    for name in ("cuda", "cupy", "cupy:cuda", "cupy:0", "cupy:cuda:0"):
        assert get_backend(name).device.id == 0
    assert get_backend("cuda:1").device.id == get_backend("cupy:1").device.id == 1
    for name in ("cuda:2", "cuda:-1", "cuda:x"):
        with pytest.raises(BackendError, match=r"no CUDA GPU .* this machine has cuda:0, cuda:1"):
            get_backend(name)
    assert "cupy" in available_backends()


def test_asking_for_a_gpu_makes_it_the_current_one(forget: pytest.MonkeyPatch) -> None:
    fake_cupy(forget, gpus=2)
    for name, number in (("cuda:1", 1), ("cuda:0", 0), ("cuda:1", 1), ("cuda", 0)):
        get_backend(name)
        assert Device.current == number
    assert backend_of(CupyArray(Device(1))) == get_backend("cuda:1")
    assert hash(get_backend("cuda:1")) == hash(get_backend("cupy:1"))


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
@pytest.mark.skipif(not installed("array_api_strict"), reason="array_api_strict is not installed")
def test_what_a_gpu_will_run_first_runs_on_the_stand_in(shell: Shell) -> None:
    files = [*sorted((ROOT / "tests").glob("test_backend_cupy_*.py")), ROOT / "tests" / "test_backend_kernels.py"]
    done = shell.python("-m", "pytest", "-q", "-m", "cuda", "-p", "benchmarks.cuda_on_cpu.plugin",
                        "-p", "no:cacheprovider", "--rootdir", ROOT, *files, gpu=True)
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(re.findall(r"(\d+) passed", done.stdout)[-1]) > 100
