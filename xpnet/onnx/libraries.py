"""The libraries that write ONNX, imported when they are needed."""

from __future__ import annotations

from typing import Any

from xpnet._extras import import_extra

__all__ = ["ndonnx", "onnx", "operators", "spox"]

_PURPOSE = "exporting to ONNX"


def ndonnx() -> Any:
    """Give ndonnx, whose arrays are traced (extra `onnx`)."""
    return import_extra("ndonnx", _PURPOSE, extra="onnx")


def onnx() -> Any:
    """Give onnx, which knows the format (extra `onnx`)."""
    return import_extra("onnx", _PURPOSE, extra="onnx")


def spox() -> Any:
    """Give spox, of whose nodes ndonnx's arrays are made (extra `onnx`)."""
    return import_extra("spox", _PURPOSE, extra="onnx")


def operators() -> Any:
    """Give ONNX's operators of the version that ndonnx writes (extra `onnx`)."""
    return import_extra("spox.opset.ai.onnx.v21", _PURPOSE, extra="onnx")
