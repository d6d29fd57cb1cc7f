from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import script
from numpy.typing import NDArray
from old_pickles import of_numpy_1, of_python_2

read_arrays = script("_array_pickle").read_arrays

RNG = np.random.default_rng(0)
CONTIGUOUS = RNG.standard_normal((5, 3))
ARRAYS: dict[str, NDArray[Any]] = {
    "W1": CONTIGUOUS,
    "W2": RNG.standard_normal((4, 3)).astype(np.float32).T,  # as the book's sample_weight.pkl
    "W3": RNG.standard_normal((2, 3, 4)).transpose(1, 2, 0),
    "W4": RNG.standard_normal((6, 8))[::2, 1::3],
    "b1": RNG.standard_normal(7).astype(">f8"),
    "b2": np.array([np.nan, -np.inf, -0.0], np.float16),
    "b3": np.array(2.5, np.float32),
}


def written(folder: Path, raw: bytes) -> Path:
    path = folder / "weights.pkl"
    path.write_bytes(raw)
    return path


def check(found: dict[str, NDArray[Any]], wanted: dict[str, NDArray[Any]]) -> None:
    assert list(found) == list(wanted)
    for name, a in wanted.items():
        np.testing.assert_array_equal(found[name], a)
        assert found[name].dtype == a.dtype.newbyteorder("=")
        assert found[name].dtype.isnative
        assert type(found[name]) is np.ndarray
        assert found[name].flags.writeable


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol(tmp_path: Path, protocol: int) -> None:
    check(read_arrays(written(tmp_path, pickle.dumps(ARRAYS, protocol))), ARRAYS)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_numpy_1(tmp_path: Path, protocol: int) -> None:
    raw = of_numpy_1(ARRAYS, protocol)
    assert b"numpy.core." in raw
    assert b"numpy._core." not in raw
    check(read_arrays(written(tmp_path, raw)), ARRAYS)


@pytest.mark.parametrize("protocol", [0, 1, 2])
@pytest.mark.filterwarnings("ignore:numpy.core is deprecated")
def test_python_2(tmp_path: Path, protocol: int) -> None:
    raw = of_python_2(ARRAYS, protocol)
    check(read_arrays(written(tmp_path, raw)), ARRAYS)
    by_numpy = pickle.loads(raw, encoding="latin1")  # what was made by hand is what Python 2 wrote
    for name, a in ARRAYS.items():
        np.testing.assert_array_equal(by_numpy[name], a)


class Calls:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[object, ...]]:
        return self.call


def object_array(value: object) -> NDArray[Any]:
    a = np.empty(1, object)
    a[0] = value
    return a


class Matrix(np.ndarray[Any, Any]):
    pass


TOUCH = "touch ran"
MARK = b"(S'touch ran'\n"


@pytest.mark.parametrize(("value", "named"), [
    (Calls(os.system, TOUCH), "system'"),
    ({"W1": Calls(os.system, TOUCH)}, "system'"),
    ({"W1": CONTIGUOUS, "b1": [Calls(os.system, TOUCH)]}, "system'"),
    (Calls(eval, "open('ran', 'w')"), ".eval'"),
    (Calls(exec, "open('ran', 'w')"), ".exec'"),
    (Calls(getattr, object, "__subclasses__"), ".getattr'"),
    (Calls(np.load, "ran.npy"), "'numpy.load'"),
    (Calls(np.save, "ran", CONTIGUOUS), "'numpy.save'"),
    (Calls(np.fromfile, "ran"), "fromfile'"),
    (Calls(np.testing.runstring, "open('ran', 'w')", {}), "runstring'"),
    (Calls(np.dtype, Calls(os.system, TOUCH)), "system'"),
    (Calls(bytes, 10**9), ".bytes'"),
    ({"W1": object_array(Calls(os.system, TOUCH))}, "O8"),
    ({"W1": object_array(1.0)}, "O8"),
    ({"W1": np.float64(1)}, "multiarray.scalar'"),
    ({"W1": np.ones(2).view(Matrix)}, "Matrix'"),
    ({"W1": np.ma.ones(2)}, "numpy.ma"),
    ({"W1": np.arange(3)}, "'i8'"),
    ({"W1": np.array(["a"])}, "'U1'"),
    ({"W1": np.zeros(2, "f8,f8")}, "V16"),
    ({"W1": np.zeros(2, complex)}, "c16"),
    ({"W1": np.zeros(2, bool)}, "b1"),
    ({"W1": 1.5}, "'W1' is of type float"),
    ({"W1": None}, "'W1' is of type NoneType"),
    ({"W1": {"W1": CONTIGUOUS}}, "'W1' is of type dict"),
    ({1: CONTIGUOUS}, "1 is an array"),
    ({"W1": np.dtype("f8")}, "'W1' is of type _Dtype"),
    ([CONTIGUOUS], "a dictionary of arrays wanted; got of type list"),
    (CONTIGUOUS, "a dictionary of arrays wanted; got an array"),
])
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: Any, named: str, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path, pickle.dumps(value, protocol))
    with pytest.raises(ValueError) as refusal:
        read_arrays(path)
    message = str(refusal.value)
    assert named in message
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pkl"]


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
FLOAT = b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR"
FROM_BUFFER = b"cnumpy.core.numeric\n_frombuffer\n"


@pytest.mark.parametrize(("raw", "named"), [
    (MARK + b"ios\nsystem\n.", "'os.system'"),  # INST
    (b"(cos\nsystem\nS'touch ran'\no.", "'os.system'"),  # OBJ
    (b"cos\nsystem\n(S'touch ran'\nt\x81.", "'os.system'"),  # NEWOBJ
    (b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.", "'numpy.ndarray.tofile'"),
    (b"\x80\x04\x8c\x17numpy.core.multiarray\x8c\x19_reconstruct.__globals__\x93.", ""),
    (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "'os.system'"),
    (b"cctypes\nmemmove\n.", "'ctypes.memmove'"),
    (b"cctypes\nCDLL\n(NtR.", "'ctypes.CDLL'"),
    (b"cnumpy.ctypeslib\nas_array\n.", "'numpy.ctypeslib.as_array'"),
    (b"c_array_pickle\nread_arrays\n.", "'_array_pickle.read_arrays'"),
    (b"cos\nsy\x1b[31mstem\n.", "sy\\x1b[31mstem'"),  # nothing for the terminal
    (b"P1\n.", "outside"),
    (b"\x80\x02\x82\x01.", "extension"),
    (b"c_codecs\nencode\n(S'a'\nS'rot13'\ntR.", "latin1 wanted; got 'rot13'"),
    (b"cnumpy\nndarray\n(tR.", "not callable"),
    # Of what stands in for NumPy's: unfilled, uninitialised, filled with what is no state.
    (b"(dS'W1'\n" + ARRAY + b"s.", "'W1' is an array"),
    (ARRAY + b"(I1\n(I2\nt" + FLOAT + b"I00\nS'12345678'\ntb.", "reshape"),
    (ARRAY + b"(I1\n(I1\nt" + FLOAT + b"I00\n(lS'a'\natb.", "are bytes"),
    (ARRAY + b"(I1\n(I1\ntS'f8'\nI00\nS'12345678'\ntb.", "are bytes"),
    (ARRAY + b"(I1\n(I1\nt" + ARRAY + b"I00\nS'12345678'\ntb.", "are bytes"),
    (ARRAY + b"(I1\ntb.", "unpack"),
    (ARRAY + b"(dS'values'\nI1\nsb.", "unpack"),
    (FROM_BUFFER + b"(" + ARRAY + FLOAT + b"(I1\ntS'C'\ntR.", "are bytes"),
    (FROM_BUFFER + b"(S'12345678'\n" + FLOAT + b"(I1\ntS'C'\n(I1\nI0\nttR.", "axes"),
    (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(I0\ntS'b'\ntR.", "class numpy.ndarray"),
    (b"cnumpy\ndtype\n(S'f8f8'\nI0\nI1\ntR.", "'f8f8'"),
    (b"cnumpy\ndtype\n(S'f16'\nI0\nI1\ntR.", "'f16'"),
    (b"cnumpy\ndtype\n((ltR.", "string"),
    (b"cnumpy\ndtype\n(t\x81.", "must be a"),
    (b"cnumpy\ndtype\n(I3\nS'<'\ntb.", "changes what it calls"),
    (b"c_codecs\nencode\n((dS'x'\nI1\ns(dS'__defaults__'\n(S'rot13'\ntstb.", "changes what it calls"),
    (FLOAT + b"(I3\nS'O'\ntb.", "byteorder"),
    (b"", "Ran out of input"),
    (b"no pickle", ""),
    (b"\x89PNG\r\n\x1a\n", ""),
    (pickle.dumps(ARRAYS, 4)[:-20], "truncated"),
    (b"\x80\x04" + b"\x8e" + struct.pack("<Q", 2**62) + b"a.", ""),
    (b"\xff" * 100, ""),
])
def test_crafted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raw: bytes, named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, MemoryError)) as refusal:
        read_arrays(written(tmp_path, raw))
    assert named in str(refusal.value)
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pkl"]


def test_what_a_dtype_claims_of_itself_is_not_believed(tmp_path: Path) -> None:
    # To NumPy this says: elements of 800 bytes, and fields. 8 bytes are taken as a float64 here.
    lying = FLOAT + b"(I3\nS'<'\nN(S'a'\nt(dS'a'\n(" + FLOAT + b"I792\ntsI800\nI1\nI63\ntb"
    raw = b"(dS'W1'\n" + ARRAY + b"(I1\n(I1\nt" + lying + b"I00\nT\x08\0\0\0" + struct.pack(
        "<d", 1.5) + b"tbs."
    found = read_arrays(written(tmp_path, raw))
    assert found["W1"].dtype == np.float64
    assert found["W1"].tolist() == [1.5]


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "weights.pkl")
