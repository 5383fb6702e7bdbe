"""Exports networks as ONNX models, for onnxruntime and other readers; needs the extra ``onnx``."""

from mlpcore.onnx.export import network_to_onnx, to_onnx

__all__ = ["network_to_onnx", "to_onnx"]
