"""Fitted models between scikit-learn and mlpcore, both ways, and to ONNX."""
