"""Conversion of fitted estimators: from and to scikit-learn, and to ONNX."""
