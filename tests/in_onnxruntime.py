"""Exported models, run by onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from xpnet.onnx import export

__all__ = ["ROWS", "TOLERANCES", "close", "exported", "rows", "run", "session"]

Host = NDArray[Any]
ROWS = (0, 1, 3, 100)
TOLERANCES = {"float16": 2e-3, "float32": 1e-6, "float64": 1e-13}
"""Relative to the largest element of the output; float16's are four last places."""


def exported(folder: Path, model: Any, *args: Any, **kwargs: Any) -> Path:
    """Export, and have the file checked by ONNX itself."""
    path = folder / "model.onnx"
    export(model, path, *args, **kwargs)
    onnx.checker.check_model(path, full_check=True)
    return path


def session(path: Path) -> Any:
    """Give a session, which logs nothing but errors and warnings."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(path: Path, x: Host) -> dict[str, Host]:
    """Give all outputs by name."""
    found = session(path)
    return dict(zip([o.name for o in found.get_outputs()], found.run(None, {"x": x}), strict=True))


def rows(n: int, shape: tuple[int, ...], dtype: str = "float32") -> Host:
    """Draw rows of both signs."""
    return np.random.default_rng(n).standard_normal((n, *shape)).astype(dtype)


def close(actual: Host, expected: Host, tolerance: float | None = None) -> None:
    """Compare dtype, shape, and values in relation to the largest one."""
    __tracebackhide__ = True
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    if tolerance is None:
        tolerance = TOLERANCES[expected.dtype.name]
    scale = np.max(np.abs(expected), initial=0)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)
