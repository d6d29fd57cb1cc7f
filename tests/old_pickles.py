"""Pickles as older Pythons and NumPys wrote them, made by hand: these no longer run here."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray


def of_numpy_1(value: object, protocol: int) -> bytes:
    """Pickle something small as NumPy 1 did, whose modules had other names."""
    raw = pickle.dumps(value, protocol)
    if protocol < 4:
        return raw.replace(b"numpy._core.", b"numpy.core.")
    assert raw.count(b"\x95") >= 1, "no frame"
    raw = raw[:2] + raw[11:]  # without its frame, whose length would change
    for name in (b"multiarray", b"numeric"):
        new, old = b"numpy._core." + name, b"numpy.core." + name
        raw = raw.replace(bytes([len(new)]) + new, bytes([len(old)]) + old)
    return raw


def of_python_2(arrays: Mapping[str, NDArray[Any]], protocol: int) -> bytes:
    """Pickle a dictionary of arrays as Python 2 did, which knew bytes alone."""
    text = _quoted if protocol == 0 else _counted
    body = b"".join(text(name.encode()) + _array(a, text) + b"s" for name, a in arrays.items())
    return (b"\x80\x02" if protocol == 2 else b"") + b"(d" + body + b"."


def _array(a: NDArray[Any], text: Any) -> bytes:
    shape = b"(" + b"".join(b"I%d\n" % n for n in a.shape) + b"t"
    dtype = (b"cnumpy\ndtype\n(" + text(a.dtype.str[1:].encode()) + b"I0\nI1\ntR(I3\n"
             + text(a.dtype.str[:1].encode()) + b"NNNI-1\nI-1\nI0\ntb")
    fortran = a.flags.fnc
    return (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\nt" + text(b"b") + b"tR(I1\n"
            + shape + dtype + (b"I01\n" if fortran else b"I00\n")
            + text(a.tobytes("F" if fortran else "C")) + b"tb")


def _quoted(raw: bytes) -> bytes:
    return b"S'" + b"".join(b"\\x%02x" % byte for byte in raw) + b"'\n"


def _counted(raw: bytes) -> bytes:
    return b"T" + len(raw).to_bytes(4, "little") + raw
