"""What the CuPy that computes on the CPU promises, in a process of its own, whose modules it replaces."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import os
import shutil
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from shell import ROOT, Shell

if importlib.util.find_spec("array_api_strict") is None:
    pytest.skip("array_api_strict is not installed", allow_module_level=True)

Promise = Callable[[], None]


def start() -> None:
    """Put the stand-in in its place, in the process apart."""
    from benchmarks.cuda_on_cpu import install

    install(devices=2)


def broken(promise: Promise) -> str:
    """Tell how a promise was broken; nothing if it was kept."""
    try:
        promise()
    except BaseException:  # noqa: BLE001, those of `pytest.raises` are no Exception
        return traceback.format_exc()
    return ""


@pytest.fixture(scope="module")
def apart() -> Iterator[Callable[[Promise], str]]:
    """Run a promise where the stand-in is, and tell how it was broken."""
    with ProcessPoolExecutor(1, get_context("spawn"), start) as pool:
        yield lambda promise: pool.submit(broken, promise).result(timeout=100)


def cupy() -> Any:
    return importlib.import_module("cupy")


def on_gpu(*shape: int, dtype: Any = "f4", seed: int = 0) -> Any:
    return cupy().asarray(np.random.default_rng(seed).normal(size=shape).astype(dtype))


# Arrays


def arrays_are_cupys() -> None:
    cp = cupy()
    x = cp.asarray(np.arange(6, dtype="f4").reshape(2, 3))
    assert x.dtype == np.float32
    assert cp.float32 is np.float32
    for a in (x, x[0, 0], x.sum(), x.T, cp.exp(x), x * 2, x + np.float32(1), 1 - x, cp.max(x), x == 0):
        assert type(a) is cp.ndarray
    assert x[1].data.ptr == x.data.ptr + x.strides[0]
    assert (x.T + x.T).flags.c_contiguous  # what a kernel computes lies row by row
    assert x.T.copy("F").flags.f_contiguous
    for refused in (lambda: np.asarray(x), lambda: cp.exp(np.ones(3)), lambda: x + np.ones(3),
                    lambda: hash(x), lambda: hash(x.device), lambda: cp.sum(x, where=x > 0)):
        with pytest.raises(TypeError):
            refused()
    assert not hasattr(cp, "vecdot")  # NumPy's, and not CuPy's
    assert_array_equal(x[:, ::-1].get(), [[2, 1, 0], [5, 4, 3]])
    x[0] += 1
    x[1, :2] = x[0, :2]
    assert_array_equal(cp.asnumpy(x), [[1, 2, 3], [1, 2, 5]])


def the_compute_path_is_held_to_the_standard() -> None:
    import array_api_compat

    x = on_gpu(2, 3)
    xp = array_api_compat.array_namespace(x)
    assert xp is importlib.import_module("array_api_compat.cupy")
    assert xp.__name__ == "array_api_compat.cupy"
    assert array_api_compat.is_cupy_namespace(xp)
    assert xp.sum(x, dtype=xp.float64).dtype == np.float64
    assert xp.astype(x, xp.float32, copy=False) is x
    assert xp.isdtype(x.dtype, "real floating")
    assert xp.__array_namespace_info__().default_dtypes()["real floating"] == np.float64
    half = xp.astype(x, xp.float16)  # which array-api-strict has not
    assert xp.exp(half + half).dtype == np.float16
    with pytest.raises(TypeError, match="cannot be type promoted"):
        x + xp.arange(3)
    with pytest.raises(RuntimeError, match="booleans"):
        x[x > 0]
    with pytest.raises(RuntimeError, match="data_dependent_shapes"):
        xp.nonzero(x)


def copies_to_the_host_are_counted() -> None:
    from benchmarks.cuda_on_cpu import HostCopyError, host_copies, refusing_host_copies

    x = on_gpu(3)
    host_copies.reset()
    x.get(), float(x[0]), bool(x[0] > 0), x.tolist(), str(x), cupy().asnumpy(x)
    assert host_copies.count == 6
    with refusing_host_copies():
        x.sum()
        with pytest.raises(HostCopyError):
            float(x[0])


def devices_do_not_mix() -> None:
    cp = cupy()
    x = on_gpu(2, 3)
    with cp.cuda.Device(1):
        y = on_gpu(2, 3)
        assert y.device == cp.cuda.Device(1)
        assert str(y.device) == "<CUDA Device 1>"
    double = cp.ElementwiseKernel("T x", "T y", "y = 2 * x", "twice")
    for refused in (lambda: x + y, lambda: y + y, lambda: cp.exp(y), lambda: double(y), y.sum):
        with pytest.raises(ValueError, match=r"array resides \(1\) is different .* device \(0\)"):
            refused()
    assert y.T[0].device.id == 1  # a view is no kernel
    assert cp.asarray(y).device.id == 0
    xp = importlib.import_module("array_api_compat.cupy")
    assert xp.asarray(x, device=cp.cuda.Device(1)).device.id == 1
    assert xp.zeros(3, device=cp.cuda.Device(1)).device.id == 0  # as CuPy, which ignores it
    with pytest.raises(RuntimeError, match="invalid device ordinal"):
        cp.cuda.Device(2).use()


def memory_is_a_pools() -> None:
    cp = cupy()
    pool = cp.cuda.MemoryPool()
    with cp.cuda.using_allocator(pool.malloc):
        x = cp.zeros(1000, "f4")
        assert x.data.ptr % 512 == 0
        assert pool.used_bytes() == pool.total_bytes() == 4096
        view, place = x[10:], x.data.ptr
        del x
        assert pool.used_bytes() == 4096
        del view
        assert (pool.used_bytes(), pool.total_bytes()) == (0, 4096)
        assert cp.empty(1000, "f4").data.ptr == place  # the same block, once it is free
        pool.set_limit(size=2**20)
        with pytest.raises(cp.cuda.memory.OutOfMemoryError) as error:
            cp.zeros((1000, 1000))
        assert isinstance(error.value, MemoryError)
        assert str(error.value) == ("Out of memory allocating 8,000,000 bytes (allocated so far: 0 bytes, "
                                    "limit set to: 1,048,576 bytes).")
    with pytest.raises(MemoryError, match=r"Out of memory allocating 800,000,000,000 bytes"):
        cp.zeros((10**5, 10**6))
    assert np.isnan(cp.empty(3, "f4").get()).all()


# Graphs


def captured_work_waits_for_its_launch() -> None:
    cp = cupy()
    x, total = cp.asarray([1.0, 2.0, 3.0]), cp.zeros(())
    kernel = cp.ElementwiseKernel("T x, raw T y", "T z", "z = x + y[0]", "plus_first")
    stream = cp.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        assert stream.is_capturing()
        y = x * 2
        view = y[1:]
        view[...] = 7
        y += 1
        z = kernel(y, x)
        total += z.sum()
        graph = stream.end_capture()
    assert not stream.is_capturing()
    assert np.isnan(z.get()).all()
    assert total.item() == 0
    place = z.data.ptr
    for launch in (1, 2):
        graph.launch(stream)
        assert_array_equal(y.get(), [3, 8, 8])
        assert_array_equal(view.get(), [8, 8])
        assert_array_equal(z.get(), [4, 9, 9])
        assert total.item() == 22 * launch
    x[...] = cp.asarray([10.0, 0.0, 0.0])  # which is read anew
    graph.launch()
    assert_array_equal(z.get(), [31, 18, 18])
    assert z.data.ptr == place
    assert graph.debug_dot_str().count("KERNEL") == 6
    assert "plus_first" in graph.debug_dot_str()


def capturing_refuses_what_cuda_refuses() -> None:
    cp = cupy()
    x, labels = on_gpu(3, 3), cp.asarray([0, 2, 1])
    with pytest.raises(RuntimeError, match="cannot capture on the default"):
        cp.cuda.Stream.null.begin_capture()
    stream = cp.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        for transfer, way in ((x.get, "D2H"), (lambda: float(x[0, 0]), "D2H"),
                              (lambda: cp.asarray([1.0, 2.0]), "H2D"), (lambda: x.set(np.ones((3, 3))), "")):
            with pytest.raises((RuntimeError, TypeError), match=way):
                transfer()
        products: list[Promise] = [lambda: x @ x, lambda: cp.matmul(x, x), lambda: x.dot(x)]
        for product in products:
            with pytest.raises(NotImplementedError, match="calling cuBLAS API during stream capture"):
                product()
        two = cp.asarray(2.0)  # a number is a kernel's argument
        chosen = x[labels % 3, 0]  # by indices that are not there yet
        stream.end_capture().launch()
        assert two.item() == 2
        assert_array_equal(chosen.get(), x.get()[[0, 2, 1], 0])
        for wait in (stream.synchronize, cp.cuda.Device().synchronize):
            stream.begin_capture()
            with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="not permitted when stream is"):
                wait()
            with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="due to a previous error"):
                x + x
            with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="due to a previous error"):
                stream.end_capture()
            assert not stream.is_capturing()


def a_graphs_memory_is_not_kept_by_the_graph() -> None:
    cp = cupy()
    x = cp.asarray([1.0, 2.0])
    stream = cp.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        y = x + 1
        graph = stream.end_capture()
        place = y.data.ptr
        del y
        others = cp.zeros(2)
        assert others.data.ptr == place
        graph.launch()
        assert_array_equal(others.get(), [2, 3])  # as on a GPU: the graph wrote into it


# Sums over GPUs


def communicator() -> Any:
    nccl = cupy().cuda.nccl
    return nccl.NcclCommunicator(1, nccl.get_unique_id(), 0)


def sums_are_done_when_something_waits_for_them() -> None:
    cp, nccl = cupy(), communicator()
    side = cp.cuda.Stream(non_blocking=True)
    x, y = cp.asarray([1.0, 2.0]), cp.full(2, np.nan)

    def begin() -> Any:
        begun, done = cp.cuda.Event(), cp.cuda.Event()
        begun.record()
        side.wait_event(begun)
        nccl.allReduce(x.data.ptr, y.data.ptr, 2, 8, 0, side.ptr)
        done.record(side)
        return done

    for wait in (cp.cuda.get_current_stream().wait_event, lambda done: done.synchronize(), lambda done: done.done,
                 lambda _: side.synchronize(), lambda _: cp.cuda.Device().synchronize(), lambda _: side.use()):
        y.fill(np.nan)
        done = begin()
        assert np.isnan(y.get()).all()  # which does not wait for the other stream
        x += 1  # too soon, and it shows
        wait(done)
        assert_array_equal(y.get(), x.get())
        cp.cuda.Stream.null.use()
    stream = cp.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        y += 1
        done = begin()
        assert side.is_capturing()
        x += 1
        stream.wait_event(done)
        y *= 10
        graph = stream.end_capture()
        assert not side.is_capturing()
    before = x.get()
    for launch in (1, 2):
        graph.launch()
        assert_array_equal(y.get(), 10 * (before + launch))
    assert "ncclDevKernel_AllReduce" in graph.debug_dot_str()
    assert "WAIT" not in graph.debug_dot_str()
    with pytest.raises(RuntimeError, match="would wait for ever: a graph"):
        nccl.destroy()
    del graph
    nccl.destroy()


def sums_are_refused_as_cuda_and_nccl_do() -> None:
    cp, nccl, host = cupy(), communicator(), np.ones(2)
    CUDARuntimeError, NcclError = cp.cuda.runtime.CUDARuntimeError, cp.cuda.nccl.NcclError
    side, x = cp.cuda.Stream(non_blocking=True), cp.ones(2)
    address = x.data.ptr
    for arguments, error, words in (
        ((host.ctypes.data, address, 2, 8, 0, side.ptr), ValueError, "not memory of an array"),
        ((address, address, 2000, 8, 0, side.ptr), ValueError, "2000|16000"),
        ((address, address, 2, 11, 0, side.ptr), NcclError, "invalid argument"),
        ((address, address, 2, 8, 1, side.ptr), NcclError, "invalid argument"),
        ((address, address, 2, 8, 0, 12345), NcclError, "cuda error"),
    ):
        with pytest.raises(error, match=words):
            nccl.allReduce(*arguments)
    y = cp.ones(2)
    nccl.allReduce(y.data.ptr, address, 2, 8, 0, side.ptr)
    del y
    cp.get_default_memory_pool().free_all_blocks()
    with pytest.raises(ValueError, match="not memory of an array"):  # it was not held as long as it had to be
        side.synchronize()
    with pytest.raises(TypeError, match="expected bytes"):
        cp.cuda.nccl.NcclCommunicator(1, tuple(range(128)), 0)

    stream, event = cp.cuda.Stream(non_blocking=True), cp.cuda.Event()
    with stream:
        stream.begin_capture()
        side.wait_event(stream.record())
        nccl.allReduce(address, address, 2, 8, 0, side.ptr)
        with pytest.raises(CUDARuntimeError, match="not ended in the same stream"):
            side.end_capture()
        with pytest.raises(CUDARuntimeError, match="unjoined work"):
            stream.end_capture()
        event.record()
        stream.begin_capture()
        captured = stream.record()
        with pytest.raises(CUDARuntimeError, match="uncaptured work in another stream"):
            stream.wait_event(event)
        with pytest.raises(CUDARuntimeError, match="due to a previous error"):
            stream.end_capture()
        for use in (side.wait_event, lambda event: event.done, lambda event: event.synchronize()):
            with pytest.raises(CUDARuntimeError, match="last recorded in a capturing stream"):
                use(captured)
    nccl.abort()
    with pytest.raises(NcclError, match="invalid argument"):
        nccl.allReduce(address, address, 2, 8, 0, side.ptr)


# Kernels


def kernels_compute_what_they_say() -> None:
    cp = cupy()
    x, y = on_gpu(4, 3), on_gpu(4, 1, seed=1)
    a, b = x.get(), y.get()
    plus = cp.ElementwiseKernel("T x, S y, float32 c", "T z", "z = max(x, T(0)) + y * c", "plus")
    assert_allclose(plus(x, y, 2).get(), np.maximum(a, 0) + b * 2, rtol=1e-6)  # broadcast, created
    assert_allclose(plus(x.T, y.T.astype("f8"), np.float32(2)).get(), (np.maximum(a, 0) + b * 2).T, rtol=1e-6)
    out = cp.zeros((3, 4), "f4").T
    assert plus(x, y, 2, out) is out  # and written where it is told, column by column
    assert_allclose(out.get(), np.maximum(a, 0) + b * 2, rtol=1e-6)
    cp.ElementwiseKernel("T x", "T y", "y = exp(x)", "in_place")(x, x)
    assert_allclose(x.get(), np.exp(a), rtol=1e-6)
    reverse = cp.ElementwiseKernel("raw T x", "T y", "y = x[_ind.size() - 1 - i]", "reversed")
    assert_array_equal(reverse(cp.arange(3), cp.empty(3, int)).get(), [2, 1, 0])
    assert_array_equal(reverse(cp.arange(3), size=3).get(), [2, 1, 0])
    count = cp.zeros(3, "i4")
    cp.ElementwiseKernel("int32 x", "raw int32 n", """
        if (x < 0) return;
        if (x > 2) continue;
        atomicAdd(&n[x], 1)""", "count")(cp.asarray([0, 2, -1, 5, 2], "i4"), count)
    assert_array_equal(count.get(), [1, 0, 2])
    half = cp.ElementwiseKernel("T x", "T y", "y = helped(x)", "half", preamble="""
        template <typename U> __device__ __forceinline__ U helped(U x) {
            if (isnan(x)) return 0.f;
            return x / 2;
        }""")
    assert_array_equal(half(cp.asarray([3.0, np.nan], "f2")).get(), np.asarray([1.5, 0], "f2"))


def kernels_are_called_as_cupy_wants() -> None:
    cp = cupy()
    x, i = on_gpu(4, 3), cp.arange(12)
    add = cp.ElementwiseKernel("T x, T y", "T z", "z = x + y", "added")
    raw = cp.ElementwiseKernel("raw T x", "T y", "y = x[i + 1]", "beyond")
    cases: list[tuple[type[Exception], str, Callable[[], Any]]] = [
        (TypeError, "either 2 or 3", lambda: add(x)),
        (TypeError, "Type is mismatched", lambda: add(x, i.reshape(4, 3))),
        (TypeError, "Unsupported type", lambda: add(x, np.ones(3))),
        (ValueError, "Out shape", lambda: add(x, x, x[:1])),
        (ValueError, "size", lambda: raw(x)),
        (ValueError, "row by row", lambda: raw(x.T, size=3)),
        (IndexError, "beyond", lambda: raw(x, size=12)),
        (ValueError, "'i'", lambda: cp.ElementwiseKernel("T i", "T y", "", "k")),
        (Exception, "not declared", lambda: cp.ElementwiseKernel("T x", "T y", "y = n", "k")(x)),
        (Exception, "std", lambda: cp.ElementwiseKernel("T x", "T y", "y = std::exp(x)", "k")(x)),
    ]
    for error, words, call in cases:
        with pytest.raises(error, match=words):
            call()


# cuBLASLt


class Lt:
    """A product by cuBLASLt, as CuPy's users call it."""

    def __init__(self, compute: int = 68, scale: int = 0, type: int = 0) -> None:  # noqa: A002
        self.lt = importlib.import_module("nvmath.bindings.cublasLt")
        self.type, self.scale = type, np.dtype({0: "f4", 1: "f8", 2: "f2"}[scale])
        self.handle, self.operation = self.lt.create(), self.lt.matmul_desc_create(compute, scale)

    def set(self, what: str, thing: int, **attributes: int) -> None:
        names = {"matmul_desc": "MatmulDescAttribute", "matrix_layout": "MatrixLayoutAttribute",
                 "matmul_preference": "MatmulPreferenceAttribute"}
        for name, value in attributes.items():
            attribute = getattr(self.lt, names[what])[name]
            held = np.array([value], getattr(self.lt, f"get_{what}_attribute_dtype")(attribute))
            getattr(self.lt, f"{what}_set_attribute")(thing, attribute, held.ctypes.data, held.nbytes)

    def layout(self, a: Any) -> int:
        """Describe an array `(batch, columns, rows)`, which lies column by column."""
        made = self.lt.matrix_layout_create(self.type, a.shape[2], a.shape[1], a.strides[1] // a.itemsize)
        self.set("matrix_layout", made, BATCH_COUNT=len(a), STRIDED_BATCH_OFFSET=a.strides[0] // a.itemsize)
        return int(made)

    def __call__(self, a: Any, b: Any, d: Any, alpha: float = 1, beta: float = 0, **attributes: int) -> None:
        self.set("matmul_desc", self.operation, **attributes)
        layouts = [self.layout(x) for x in (a, b, d, d)]
        preference = self.lt.matmul_preference_create()
        self.set("matmul_preference", preference, MAX_WORKSPACE_BYTES=2**20, **dict.fromkeys(
            [f"MIN_ALIGNMENT_{x}_BYTES" for x in "ABCD"], 4))
        found, n = np.zeros(1, self.lt.matmul_heuristic_result_dtype), np.zeros(1, np.int32)
        self.lt.matmul_algo_get_heuristic(self.handle, self.operation, *layouts, preference, 1,
                                          found.ctypes.data, n.ctypes.data)
        assert n[0] == 1
        scales, algo = np.array([alpha, beta], self.scale), found["algo"].copy()
        workspace = cupy().empty(int(found["workspace_size"][0]), "u1")
        self.lt.matmul(self.handle, self.operation, scales.ctypes.data, a.data.ptr, layouts[0], b.data.ptr,
                       layouts[1], scales.ctypes.data + self.scale.itemsize, d.data.ptr, layouts[2],
                       d.data.ptr, layouts[3], algo.ctypes.data, workspace.data.ptr, workspace.nbytes,
                       cupy().cuda.get_current_stream().ptr)


def cublaslt_multiplies() -> None:
    cp = cupy()
    for ta, tb, batch, (compute, scale, number, dtype, rtol) in itertools.product(
        (0, 1), (0, 1), (1, 3),
        ((68, 0, 0, "f4", 1e-5), (70, 1, 1, "f8", 1e-13), (68, 0, 2, "f2", 1e-2), (77, 0, 0, "f4", 1e-2)),
    ):
        m, n, k = 5, 4, 6
        # Column by column, an array's axes are (batch, columns, rows); a is part of a wider one.
        a = on_gpu(batch, *((m, k) if ta else (k, m)), dtype=dtype)
        b = on_gpu(1, *((k, n) if tb else (n, k)), dtype=dtype, seed=1)
        wide = cp.zeros((batch, n, m + 3), dtype)
        b = cp.broadcast_to(b, (batch, *b.shape[1:]))  # one for the whole batch
        Lt(compute, scale, number)(a, b, wide[:, :, :m], alpha=2, TRANSA=ta, TRANSB=tb)
        A, B = a.get().astype("f8"), b.get().astype("f8")
        wanted = 2 * (B if not tb else B.mT) @ (A if not ta else A.mT)
        assert_allclose(wide.get()[:, :, :m], wanted, rtol=rtol, atol=rtol)
        assert (wide.get()[:, :, m:] == 0).all()
    a, b, d = (cp.full((1, 1, 1), x, "f4") for x in (1 + 2**-12, 1, 10))
    Lt(68)(a, b, d, beta=1)
    assert d.item() == np.float32(11 + 2**-12)
    Lt(77)(a, b, d)
    assert d.item() == 1  # TF32 has 10 bits


def cublaslt_applies_its_epilogues() -> None:
    cp = cupy()
    m, n, k, batch = 6, 4, 5, 1
    a, b = on_gpu(batch, k, m), on_gpu(batch, n, k, seed=1)
    bias, d = on_gpu(m, seed=2), cp.empty((batch, n, m), "f4")
    mask = cp.zeros((n, 256 // 8), "u1")
    A, B = a.get()[0].T, b.get()[0].T
    plain, biased = A @ B, A @ B + bias.get()[:, None]

    def computed(epilogue: str, **attributes: int) -> Any:
        d.fill(np.nan)
        Lt()(a, b, d, EPILOGUE=int(lt.Epilogue[epilogue]), **attributes)
        return d.get()[0].T

    lt = importlib.import_module("nvmath.bindings.cublasLt")
    to_bias = {"BIAS_POINTER": bias.data.ptr}
    to_mask = {"EPILOGUE_AUX_POINTER": mask.data.ptr, "EPILOGUE_AUX_LD": 256}
    close: Any = {"rtol": 1e-5, "atol": 1e-5}
    assert_allclose(computed("RELU"), np.maximum(plain, 0), **close)
    assert_allclose(computed("BIAS", **to_bias), biased, **close)
    assert_allclose(computed("RELU_BIAS", **to_bias), np.maximum(biased, 0), **close)
    for name, wanted in (("RELU_AUX", plain), ("RELU_AUX_BIAS", biased)):
        assert_allclose(computed(name, **to_bias, **to_mask), np.maximum(wanted, 0), **close)
        bits = np.unpackbits(mask.get(), axis=1, bitorder="little")
        assert_array_equal(bits[:, :m].T, wanted > 0)
        assert not bits[:, m:].any()
    masked = np.where(biased > 0, plain, 0)
    assert_allclose(computed("DRELU", **to_mask), masked, **close)
    assert_allclose(computed("DRELU_BGRAD", **to_bias, **to_mask), masked, **close)
    assert_allclose(bias.get(), masked.sum(axis=1), **close)
    assert_allclose(computed("BGRADA", **to_bias), plain, **close)
    assert_allclose(bias.get(), A.sum(axis=1), **close)
    other = cp.empty(n, "f4")
    computed("BGRADB", BIAS_POINTER=other.data.ptr)
    assert_allclose(other.get(), B.sum(axis=0), **close)

    for wrong in ({"EPILOGUE_AUX_LD": 100}, {"EPILOGUE_AUX_LD": 0}, {"EPILOGUE_AUX_POINTER": 0}):
        with pytest.raises(ValueError, match="a mask"):
            computed("RELU_AUX", **(to_mask | wrong))
    with pytest.raises(ValueError, match="no BIAS_POINTER"):
        computed("BIAS")
    with pytest.raises(ValueError, match="not memory of an array"):
        computed("BIAS", BIAS_POINTER=2**40)
    x = cp.zeros((1, 3, 3))
    with pytest.raises(lt.cuBLASLtError, match="NOT_SUPPORTED"):
        Lt(70, 1, 1)(x, x, x, EPILOGUE=int(lt.Epilogue.BIAS), **to_bias)
    with pytest.raises(ValueError, match="a product"):
        Lt()(b, a, d)


def cublaslt_is_captured() -> None:
    cp = cupy()
    a, b = on_gpu(1, 2, 2), on_gpu(1, 2, 2, seed=1)
    stream = cp.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        d = cp.empty((1, 2, 2), "f4")
        Lt()(a, b, d)
        graph = stream.end_capture()
    assert np.isnan(d.get()).all()
    graph.launch()
    assert_allclose(d.get(), b.get() @ a.get(), rtol=1e-5)
    assert "cublasLt_DEFAULT" in graph.debug_dot_str()


def needing(*promises: Promise, what: str, there: bool) -> list[Any]:
    marks = [] if there else [pytest.mark.skip(reason=f"{what} is not installed")]
    return [pytest.param(promise, marks=marks, id=promise.__name__) for promise in promises]


@pytest.mark.parametrize("promise", [
    *needing(arrays_are_cupys, the_compute_path_is_held_to_the_standard, copies_to_the_host_are_counted,
             memory_is_a_pools, capturing_refuses_what_cuda_refuses, a_graphs_memory_is_not_kept_by_the_graph,
             sums_are_done_when_something_waits_for_them, sums_are_refused_as_cuda_and_nccl_do,
             what="", there=True),
    *needing(devices_do_not_mix, captured_work_waits_for_its_launch, kernels_compute_what_they_say,
             kernels_are_called_as_cupy_wants, what="g++", there=shutil.which("g++") is not None),
    *needing(cublaslt_multiplies, cublaslt_applies_its_epilogues, cublaslt_is_captured,
             what="nvmath-python", there=importlib.util.find_spec("nvmath") is not None),
])
def test_the_stand_in(apart: Callable[[Promise], str], promise: Promise) -> None:
    how = apart(promise)
    assert not how, how


@pytest.mark.parametrize(("hidden", "wanted"), [("0,2,5", "True 3"), ("", "False 0")])
def test_scripts_find_it(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, hidden: str, wanted: str
) -> None:
    site: Path = ROOT / "benchmarks" / "cuda_on_cpu" / "site"
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(ROOT)]))
    monkeypatch.setenv("XPNET_CUDA_ON_CPU", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    program = "import cupy; print(cupy.is_available(), cupy.cuda.runtime.getDeviceCount(), cupy.__version__)"
    done = shell.python("-c", program, gpu=True)
    assert done.stdout == f"{wanted} 14.2.0+cpu\n", done.stderr
