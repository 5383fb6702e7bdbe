"""Runs steps and predictions as programs of `mlpcore.compiler`: compiled C or NumPy calls, and CUDA on a device.

Code that cannot be traced runs eagerly. `mlpcore.backends.compilation` decides which of these it is.
"""
