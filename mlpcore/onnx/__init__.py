"""Networks as ONNX models, for onnxruntime and whatever else reads them; the extra ``onnx`` brings what it needs."""

from mlpcore.onnx.export import network_to_onnx, to_onnx

__all__ = ["network_to_onnx", "to_onnx"]
