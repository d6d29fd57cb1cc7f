"""Networks and estimators as ONNX files, for onnxruntime and whatever else reads the format (extra `onnx`)."""

from xpnet.onnx.export import export

__all__ = ["export"]
