from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from variants import Variant, installed, make, params

from xpnet import Backend, BackendError, available_backends, backend_of, get_backend


def needs(module: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not installed(module), reason=f"{module} is not installed")


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int64", "bool"])
def test_there_and_back(eager: Variant, dtype: str) -> None:
    host = np.asarray([[0, 1, 2], [3, 4, 5]], dtype)
    moved = eager.backend.asarray(host)
    assert eager.namespace.isdtype(moved.dtype, getattr(eager.namespace, dtype))
    back = eager.backend.to_numpy(moved)
    assert isinstance(back, np.ndarray)
    assert back.dtype == host.dtype
    np.testing.assert_array_equal(back, host)


def test_asarray_casts_to_a_dtype_of_any_library(eager: Variant) -> None:
    wanted = eager.namespace.float32
    for dtype in ("float32", np.float32, np.dtype("float32"), wanted):
        assert eager.backend.asarray([1.0, 2.0], dtype=dtype).dtype == wanted
    with pytest.raises(ValueError, match=f"{eager.backend.name} has no dtype 'float17'"):
        eager.backend.asarray([1.0], dtype="float17")
    with pytest.raises(ValueError, match=f"{eager.backend.name} has no dtype 'sum'"):
        eager.backend.asarray([1.0], dtype="sum")


def test_read_only_host_arrays_can_be_moved(eager: Variant) -> None:
    host = np.frombuffer(b"\1\2\3", np.uint8)
    eager.check(eager.backend.asarray(host), np.array([1, 2, 3], "uint8"))


def test_many_are_brought_to_the_host_together(eager: Variant) -> None:
    for shape in ((), (2,), (2, 3)):
        host = np.random.default_rng(0).standard_normal((4, *shape))
        found = eager.backend.to_numpy_all([eager.asarray(a) for a in host])
        assert isinstance(found, np.ndarray)
        np.testing.assert_array_equal(found, host)


@pytest.mark.parametrize("name", params("numpy", "strict", "torch", "jax"))
def test_tf32_is_for_gpus(name: str) -> None:
    backend = make(name).backend
    with pytest.raises(BackendError, match=f"{backend.name} on .* has no TF32"):
        backend.enable_tf32()


def test_arrays_know_their_backend(eager: Variant) -> None:
    found = backend_of(eager.asarray([1.0]))
    assert found == eager.backend
    assert found.device == eager.backend.device


def test_compiled_steps_compute_the_same(eager: Variant) -> None:
    def step(params: dict[str, Any], x: Any) -> Any:
        return {"W": params["W"] * 2}, eager.namespace.sum(x)

    params = {"W": eager.asarray([1.0, 2.0])}
    new, total = eager.backend.compile(step)(params, eager.asarray([3.0, 4.0]))
    eager.backend.synchronize()
    eager.check(new["W"], [2.0, 4.0])
    eager.check(total, 7.0)


def test_names() -> None:
    assert get_backend().name == get_backend("cpu").name == "numpy"
    assert get_backend("numpy:cpu").device == "cpu"
    assert get_backend("numpy") == get_backend("cpu")
    assert hash(get_backend("numpy")) == hash(get_backend("cpu"))
    backend = get_backend("numpy")
    assert get_backend(backend) is backend
    assert "numpy on cpu" in repr(backend)
    assert available_backends()[0] == "numpy"


@needs("torch")
def test_torch() -> None:
    assert "torch" in available_backends()
    assert str(get_backend("torch").device) == "cpu"
    assert str(get_backend("torch:meta").device) == "meta"
    for name in ("torch:cuda:99", "torch:nosuch"):
        with pytest.raises(BackendError, match="PyTorch has no device"):
            get_backend(name)


@needs("torch")
def test_torch_steps_leave_no_autograd_behind() -> None:
    import torch

    W = torch.ones(2, requires_grad=True)
    assert not get_backend("torch").compile(lambda W: 2 * W)(W).requires_grad


@needs("jax")
def test_jax() -> None:
    assert "jax" in available_backends()
    assert get_backend("jax:cpu:0") is not None
    for name in ("jax:nosuch", "jax:cpu:99"):
        with pytest.raises(BackendError, match="JAX has no device"):
            get_backend(name)


@needs("jax")
def test_jax_without_64_bits_refuses_float64() -> None:
    program = """
import xpnet
net = xpnet.TwoLayerNet(2, 3, 4, backend="jax")
assert str(net.params["W1"].dtype) == "float32"
try:
    xpnet.TwoLayerNet(2, 3, 4, backend="jax", dtype="float64")
except ValueError as error:
    print(error)
xpnet.get_backend("jax").enable_float64()
print(xpnet.TwoLayerNet(2, 3, 4, backend="jax", dtype="float64").params["W1"].dtype)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          check=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert "JAX has float64 only with 64-bit types enabled" in done.stdout
    assert done.stdout.endswith("float64\n")


@needs("array_api_strict")
def test_strict() -> None:
    assert "strict" in available_backends()
    assert "CPU_DEVICE" in str(get_backend("strict").device)
    with pytest.raises(BackendError, match=r"no device 'nosuch'; there are .*device1"):
        get_backend("strict:nosuch")


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(BackendError, match=r"no backend 'numpty'; available here: numpy.*cuda:1"):
        get_backend("numpty")
    with pytest.raises(BackendError, match=r"named by a string, .* got None"):
        get_backend(None)  # type: ignore[arg-type]
    with pytest.raises(BackendError, match="NumPy computes on the CPU only; got device 'cuda'"):
        get_backend("numpy:cuda")


def test_a_library_that_is_not_installed_names_its_extra(forget: pytest.MonkeyPatch) -> None:
    forget.setattr("importlib.util.find_spec", lambda name: None)
    for name, extra in (("cuda", r"cuda13\].*or cuda12"), ("torch", r"xpnet\[torch\]"),
                        ("jax", r"xpnet\[jax\]"), ("strict", "array-api-strict")):
        with pytest.raises(BackendError, match=f"is not installed: pip install .*{extra}"):
            get_backend(name)
    assert available_backends() == []


def test_other_packages_bring_backends(forget: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.py").write_text(
        "from xpnet_backends.numpy_backend import NumpyBackend\n"
        "class Elsewhere(NumpyBackend):\n    name = 'elsewhere'\n"
    )
    forget.syspath_prepend(tmp_path)
    point = importlib.metadata.EntryPoint("elsewhere", "elsewhere:Elsewhere", "xpnet.backends")
    forget.setattr("xpnet.backend.entry_points", lambda group: [point])
    assert available_backends()[-1] == "elsewhere"
    backend = get_backend("elsewhere")
    assert isinstance(backend, Backend)
    assert backend.name == "elsewhere"


def test_an_array_of_an_unknown_library() -> None:
    class Array:
        def __array_namespace__(self, *, api_version: str | None = None) -> ModuleType:
            return ModuleType("unheard_of")

    with pytest.raises(BackendError, match="no backend for arrays of unheard_of; there are numpy"):
        backend_of(Array())
