"""What CuPy's graphs promise; `-m cuda`, on a GPU or the CPU's stand-in."""

from __future__ import annotations

import re
import threading
import warnings
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from variants import Variant, make, params


@pytest.fixture(params=params("cupy"))
def xp(request: pytest.FixtureRequest) -> Variant:
    return make(request.param)


@pytest.fixture(autouse=True)
def with_cublaslt(xp: Variant) -> None:
    from xpnet_backends.cupy_cublaslt import unavailable

    if reason := unavailable():
        pytest.skip(reason)  # then what has a product in it is not captured


def played(xp: Variant, function: Any, carries: bool = False) -> Any:
    return xp.backend.compile(function, donate=carries, record=True)


def test_a_function_is_called_twice_and_then_launched(xp: Variant) -> None:
    calls = []

    def double(x: Any) -> Any:
        calls.append(x.shape)
        return {"twice": [2 * x, x.shape], "of": (x + 1,)}

    f = played(xp, double)
    found = [f(xp.asarray([1.0 * k, 2.0])) for k in range(5)]
    for k, each in enumerate(found):  # each with memory of its own
        xp.check(each["twice"][0], [2.0 * k, 4.0])
        xp.check(each["of"][0], [k + 1.0, 3.0])
        assert each["twice"][1] == (2,)
        assert isinstance(each["of"], tuple)
    assert len(calls) == 3  # once, to warm up, and captured
    assert f.refused == ""
    assert len(f.graphs) == 1
    xp.check(f(xp.asarray([1.0, 2.0, 3.0]))["of"][0], [2.0, 3.0, 4.0])
    assert len(calls) == 4


def test_why_there_are_no_graphs_is_said_once(xp: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    from xpnet_backends import cupy_backend

    monkeypatch.setattr(cupy_backend, "unavailable", lambda: "as if it was not installed")
    cupy_backend._warn_of.cache_clear()
    with pytest.warns(UserWarning, match="CuPy makes no CUDA graphs, and is slower: as if"):
        played(xp, abs)
    with warnings.catch_warnings(action="error"):
        played(xp, abs)
    cupy_backend._warn_of.cache_clear()


def test_numbers_are_given_side_by_side_and_read_at_one_go(xp: Variant) -> None:
    from xpnet_backends.cupy_backend import _adjacent
    from xpnet_backends.cupy_results import ROOM

    f = played(xp, lambda x: xp.namespace.sum(x))
    found = [f(xp.asarray([1.0 * k, 1.0])) for k in range(ROOM + 10)]
    np.testing.assert_array_equal(xp.backend.to_numpy_all(found), np.arange(ROOM + 10) + 1.0)
    assert [len(each) for each in _adjacent(found)] == [1, ROOM, 9]  # the first was computed by itself
    np.testing.assert_array_equal(xp.backend.to_numpy_all(found[::-2]), np.arange(ROOM + 10)[::-2] + 1.0)


def test_only_what_lies_side_by_side_in_one_piece_of_memory_is_read_as_one(xp: Variant) -> None:
    from types import SimpleNamespace

    from xpnet_backends.cupy_backend import _adjacent, _follows

    whole = np.arange(24.0).reshape(2, 4, 3)
    a = xp.asarray(whole)
    for parts, wanted, pieces in (
        ([a[0], a[1]], whole, 1), ([a[1], a[0]], whole[::-1], 2), ([a[0].T, a[1].T], whole.mT, 2),
        ([a[0, :, ::2], a[1, :, ::2]], whole[..., ::2], 2), ([a[0, 0], a[0, 1], a[1, 0]], whole[[0, 0, 1], [0, 1, 0]], 2),
    ):
        assert len(list(_adjacent(parts))) == pieces
        np.testing.assert_array_equal(xp.backend.to_numpy_all(parts), wanted)
    flags = SimpleNamespace(c_contiguous=True)

    def at(ptr: int, mem: object, dtype: str = "f4") -> Any:
        return SimpleNamespace(data=SimpleNamespace(ptr=ptr, mem=mem), nbytes=4, dtype=dtype, flags=flags)

    one, other = object(), object()
    assert _follows(at(4, one), at(0, one))
    assert not _follows(at(4, other), at(0, one))  # which cannot be copied at one go
    assert not _follows(at(4, one, "i4"), at(0, one))


def test_an_array_that_stays_is_read_where_it_lies(xp: Variant) -> None:
    f = played(xp, lambda data, k: data["x"] * k)
    x = xp.asarray([1.0, 2.0])
    for k in range(3):
        xp.check(f({"x": x}, xp.asarray(1.0 * k)), [k, 2.0 * k])
    x[...] = 5.0
    xp.check(f({"x": x}, xp.asarray(3.0)), [15.0, 15.0])
    for other in range(4):  # then it is copied
        xp.check(f({"x": xp.asarray([1.0 * other, 0.0])}, xp.asarray(2.0)), [2.0 * other, 0.0])
    xp.check(f({"x": x}, xp.asarray(1.0)), [5.0, 5.0])
    assert len(f.graphs) == 1


def test_what_is_carried_has_two_places_and_is_whole_until_the_next_call(xp: Variant) -> None:
    f = played(xp, lambda carry, x: ({"sum": carry["sum"] + x, "last": x}, carry["sum"] * 1.0), carries=True)
    first = carry = {"sum": xp.asarray([0.0, 1.0]), "last": xp.asarray([0.0, 0.0])}
    total = 0.0
    for k in range(8):
        before, value = carry, total
        carry, out = f(carry, xp.asarray([1.0 * k, 0.0]))
        total += k
        xp.check(out, [value, 1.0])
        xp.check(before["sum"], [value, 1.0])  # so an interrupt finds it
        xp.check(carry["sum"], [total, 1.0])
        xp.check(carry["last"], [k, 0.0])
    assert len(f.graphs) == 2
    xp.check(first["sum"], [0.0, 1.0])  # nobody wrote into what came from elsewhere
    again, _ = f(before, xp.asarray([7.0, 0.0]))  # the last step again, as after an interrupt
    xp.check(again["sum"], [total, 1.0])
    copied = {name: a.copy() for name, a in again.items()}
    for carry in (copied, first):  # one from elsewhere is copied to its place
        after, _ = f(carry, xp.asarray([1.0, 0.0]))
        xp.check(after["sum"], [total + 1, 1.0] if carry is copied else [1.0, 1.0])
    assert len(f.graphs) == 2


@pytest.mark.parametrize(("function", "reason"), [
    (lambda x: x * float(x[0]), "captur"),
    (lambda x: x if x[0] > 0 else -x, "captur"),
    (lambda x: x @ x, "cuBLAS"),
])
def test_what_cannot_be_captured_goes_on_being_called(xp: Variant, function: Any, reason: str) -> None:
    f = played(xp, lambda x: function(x) if x.shape == (2,) else x + 1)
    for _ in range(3):
        xp.check(f(xp.asarray([1.0])), [2.0])
    for k in range(1, 5):
        x = xp.asarray([1.0 * k, 2.0])
        xp.check(f(x), function(np.array([1.0 * k, 2.0])))
    assert re.search(reason, f.refused), f.refused
    assert len(f.graphs) == 1  # for the others
    xp.check(f(xp.asarray([2.0])), [3.0])


def test_an_error_of_the_function_comes_out_and_nothing_else_changes(xp: Variant) -> None:
    def fails(x: Any) -> Any:
        if x.shape != (1,):
            raise ValueError("in the function")
        return x + 1

    f = played(xp, fails)
    for _ in range(3):
        xp.check(f(xp.asarray([1.0])), [2.0])
        with pytest.raises(ValueError, match="in the function"):
            f(xp.asarray([1.0, 2.0]))
    assert f.refused == ""
    assert len(f.graphs) == 1
    xp.check(xp.asarray([1.0]) + 1, [2.0])  # the stream is as it was


def test_no_function_is_captured_again_and_again(xp: Variant) -> None:
    calls = []

    def f_of(x: Any, data: Any, n: float) -> Any:
        calls.append(1)
        return x + data["a"]

    f, a = played(xp, f_of), xp.asarray([1.0])
    for n in (float("nan"), 1.0, (), "text"):
        calls.clear()
        for _ in range(6):
            xp.check(f(xp.asarray([2.0]), MappingProxyType({"a": a}), n), [3.0])
        assert len(calls) == 3


def test_an_interrupt_while_capturing_leaves_nothing_behind(xp: Variant) -> None:
    calls = []

    def interrupted(x: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return x + 1

    f = played(xp, interrupted)
    f(xp.asarray([1.0]))
    with pytest.raises(KeyboardInterrupt):
        f(xp.asarray([1.0]))
    for k in range(3):
        xp.check(f(xp.asarray([1.0 * k])), [k + 1.0])
    assert f.refused == ""


def test_a_carry_that_changes_is_refused(xp: Variant) -> None:
    f = played(xp, lambda carry: ([*carry, carry[0]],), carries=True)
    carry = [xp.asarray([1.0])]
    for k in range(4):
        carry, = f(carry)
        assert len(carry) == k + 2


def test_no_more_shapes_are_kept_than_a_few(xp: Variant) -> None:
    from xpnet_backends.cupy_playing import SHAPES

    f = played(xp, lambda x: x + 1)
    for n in range(1, 2 * SHAPES):
        for _ in range(3):
            xp.check(f(xp.asarray(np.ones(n))), np.full(n, 2.0))
    assert len(f.graphs) == SHAPES


def test_threads_take_turns(xp: Variant) -> None:
    f = played(xp, lambda x: x * 2)
    wrong = []

    def work(k: int) -> None:
        for _ in range(50):
            found = xp.backend.to_numpy(f(xp.asarray([1.0 * k])))
            if found[0] != 2.0 * k:
                wrong.append((k, found))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_carry_of_the_places_in_another_order(xp: Variant) -> None:
    f = played(xp, lambda carry: ({"a": carry["a"] + 1, "b": carry["b"] * 2},), carries=True)
    carry, a, b = {"a": xp.asarray([0.0, 5.0]), "b": xp.asarray([1.0, 3.0])}, np.array([0.0, 5]), np.array([1.0, 3])
    for k in range(8):
        carry, = f({"a": carry["b"], "b": carry["a"]} if k > 3 else carry)
        a, b = (b + 1, a * 2) if k > 3 else (a + 1, b * 2)
        xp.check(carry["a"], a)
        xp.check(carry["b"], b)


def test_what_was_computed_as_another_shape_or_order_is_no_replacement(xp: Variant) -> None:
    def turned(carry: Any) -> Any:
        from xpnet_backends.cupy_places import replacement_of

        new = replacement_of(carry["W"])
        new[...] = carry["W"] + 1
        return ({"W": new.T},)

    f = played(xp, turned, carries=True)
    W = np.arange(4.0).reshape(2, 2)
    carry = {"W": xp.asarray(W)}
    for _ in range(5):
        carry, = f(carry)
        W = (W + 1).T
        xp.check(carry["W"], W)
