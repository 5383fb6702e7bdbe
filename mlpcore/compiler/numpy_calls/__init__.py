"""Prints a schedule as NumPy calls, for machines without a C compiler."""

from mlpcore.compiler.numpy_calls.calls import NumpyCalls

__all__ = ["NumpyCalls"]
